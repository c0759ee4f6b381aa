from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, Self

import httpx
import pytest

from reconciler.sandbox import Sandbox
from reconciler.sandbox.app import StoreName
from tests.sandbox.clock import Clock


class Api:
    """A client of `/api/v1` with a key."""

    def __init__(self, lago: Sandbox, key: str | None = None) -> None:
        self.lago = lago
        self.client = httpx.Client(
            base_url=f"{lago.url}/api/v1/",
            headers={"Authorization": f"Bearer {key or lago.api_key}"},
            trust_env=False,
            verify=False,  # spares each test the reading of certificates
            timeout=10,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(path, params=query or None)

    def send(self, *events: dict[str, Any]) -> httpx.Response:
        return self.post("events/batch", {"events": list(events)})

    def ids(self, **query: Any) -> list[str]:
        return [event["transaction_id"] for event in self.get("events", **query).json()["events"]]


@pytest.fixture(scope="session")
def emptied() -> Iterator[Callable[[StoreName], Sandbox]]:
    """What gives the stand-in with a store, holding nothing; one for all tests, since that is quicker."""
    with ExitStack() as running:

        @cache
        def started(store: StoreName) -> Sandbox:
            return running.enter_context(Sandbox(store=store, other_api_keys=["other-key"]))

        def empty(store: StoreName) -> Sandbox:
            started(store).reset()
            return started(store)

        yield empty


@pytest.fixture
def lago(emptied: Callable[[StoreName], Sandbox]) -> Sandbox:
    return emptied("postgres")


@pytest.fixture
def api(lago: Sandbox) -> Iterator[Api]:
    with Api(lago) as api:
        yield api


@pytest.fixture
def clickhouse(emptied: Callable[[StoreName], Sandbox]) -> Sandbox:
    """A stand-in with the ClickHouse store, deduplication and no lag."""
    return emptied("clickhouse")


@pytest.fixture
def ch(clickhouse: Sandbox) -> Iterator[Api]:
    with Api(clickhouse) as api:
        yield api


@pytest.fixture(scope="session")
def clocked() -> Iterator[tuple[Sandbox, Clock]]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reconciler.sandbox.app.Clock", lambda: clock)
        sandbox = Sandbox()
        sandbox.start()
    yield sandbox, clock
    sandbox.stop()


@pytest.fixture
def clock(clocked: tuple[Sandbox, Clock]) -> Clock:
    """The clock of `timed`: noon of a Friday, 15 May 2026, until a test moves it."""
    clocked[1].put("2026-05-15T12:00:00Z")
    return clocked[1]


@pytest.fixture
def timed(clocked: tuple[Sandbox, Clock], clock: Clock) -> Iterator[Api]:
    """A stand-in that holds nothing yet and lives by `clock`."""
    clocked[0].reset()
    with Api(clocked[0]) as api:
        yield api


def event(transaction_id: Any = "txn", **fields: Any) -> dict[str, Any]:
    """An event that Lago takes, with some fields changed; a field of `...` is left out."""
    plain = {
        "transaction_id": transaction_id,
        "external_subscription_id": "sub",
        "code": "llm_cost",
        "timestamp": "1710421740.590",
        "properties": {"model": "gpt-4o", "response_cost": "0.00042", "input_tokens": 820},
    }
    return {name: value for name, value in (plain | fields).items() if value is not ...}


def invalid(details: Any) -> dict[str, Any]:
    return {
        "status": 422,
        "error": "Unprocessable Entity",
        "code": "validation_errors",
        "error_details": details,
    }


TAKEN = {"transaction_id": ["value_already_exist"]}
