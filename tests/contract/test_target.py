"""Which Lago is asked: the suite finds its event store and its version, of older Lagos as well."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.contract import test_contract
from tests.contract.cases import CASES
from tests.contract.target import NotLagoError, StoreName, Target, read_version, store_of, version_of

ORGANIZATION = {"path": "/api/v1/organizations", "status": 200, "body": '{"organization": {"name": "Acme"}}'}
FORBIDDEN = {"path": "/api/v1/organizations", "status": 403}
NO_ROUTE = {"path": "/api/v1/events_enriched", "status": 404}


@pytest.fixture(params=["postgres", "clickhouse"])
def store(request: pytest.FixtureRequest) -> StoreName:
    name: StoreName = request.param
    return name


@pytest.fixture
def lago(store: StoreName) -> Iterator[Sandbox]:
    with Sandbox(store=store) as lago:
        yield lago


@pytest.fixture
def client(lago: Sandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    with httpx.Client(base_url=f"{lago.url}/api/v1/", headers=headers) as client:
        yield client


def answers(lago: Sandbox, *instead: dict[str, Any]) -> None:
    lago.faults(*({"kind": "status", "count": None} | each for each in instead))


def paths(lago: Sandbox) -> list[str]:
    return [request["path"].removeprefix("/api/v1/") for request in lago.requests()]


def test_lago_tells_its_store(lago: Sandbox, client: httpx.Client, store: StoreName) -> None:
    assert store_of(client) == store
    assert paths(lago) == ["organizations"]


@pytest.mark.parametrize("told", [ORGANIZATION, FORBIDDEN], ids=["older than 1.47", "a key that may not ask"])
def test_where_it_is_not_told_enriched_events_tell(
    lago: Sandbox, client: httpx.Client, store: StoreName, told: dict[str, Any]
) -> None:
    answers(lago, told)
    assert store_of(client) == store
    assert paths(lago) == ["organizations", "events_enriched"]


def test_without_enriched_events_the_answer_to_an_event_tells(
    lago: Sandbox, client: httpx.Client, store: StoreName
) -> None:
    answers(lago, ORGANIZATION, NO_ROUTE)
    assert store_of(client) == store
    assert [event["transaction_id"][:9] for event in lago.events()] == ["contract-"]


@pytest.mark.parametrize("store", ["postgres"])
@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ([{"path": "/api/v1/organizations", "status": 401}], "GET /api/v1/organizations is 401"),
        ([ORGANIZATION, {"path": "/api/v1/events_enriched", "status": 502}], "GET /api/v1/events_enriched is 502"),
        ([ORGANIZATION, NO_ROUTE | {"body": "<h1>Not found</h1>"}], "GET /api/v1/events_enriched is 404"),
        ([ORGANIZATION, NO_ROUTE, {"path": "/api/v1/events", "body": "{}"}], "POST /api/v1/events is 500"),
    ],
)
def test_what_is_no_lago_is_said(lago: Sandbox, client: httpx.Client, instead: list[dict[str, Any]], told: str) -> None:
    answers(lago, *instead)
    with pytest.raises(NotLagoError, match=told):
        store_of(client)


@pytest.mark.parametrize("store", ["postgres"])
def test_the_version_is_what_is_told_or_what_lago_tells_or_the_newest(lago: Sandbox, client: httpx.Client) -> None:
    assert version_of(client) is None
    answers(lago, {"path": "/health", "status": 200, "body": '{"version": "v1.28.0", "message": "Success"}'})
    assert (version_of(client), version_of(client, "1.47")) == ((1, 28), (1, 47))
    lago.clear_faults()
    answers(lago, {"path": "/health", "status": 200, "body": '{"version": "2026-08-21"}'})
    assert version_of(client) is None
    with pytest.raises(ValueError, match="'newest' is no version of Lago"):
        version_of(client, "newest")


def test_an_older_lago_is_not_asked_what_it_does_not_promise() -> None:
    nowhere = Target(httpx.Client(), "postgres", (1, 28), 0)
    (newer,) = (case for case in CASES if case.name == "enriched events are of the ClickHouse store only")
    with pytest.raises(pytest.skip.Exception, match=r"known of Lago 1\.36 and later"):
        test_contract.test_it_answers_as_lago_does(nowhere, newer, lambda *_: None)


@pytest.mark.parametrize(
    ("version", "holds"), [(None, True), ("1.48", True), ("v1.48.2", True), ("1.100.0", True), ("1.9.1", False)]
)
def test_a_case_holds_from_its_version_on(version: str | None, holds: bool) -> None:
    known = None if version is None else read_version(version)
    target = Target(httpx.Client(), "postgres", known, 0)
    assert (target.is_at_least("1.48"), target.is_at_least(None)) == (holds, True)
