from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reconciler.sandbox import Sandbox
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

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(path, params=query or None)

    def send(self, *events: dict[str, Any]) -> httpx.Response:
        return self.post("events/batch", {"events": list(events)})

    def ids(self, **query: Any) -> list[str]:
        return [event["transaction_id"] for event in self.get("events", **query).json()["events"]]


@pytest.fixture(scope="session")
def server() -> Iterator[Sandbox]:
    with Sandbox(other_api_keys=["other-key"]) as sandbox:
        yield sandbox


@pytest.fixture
def lago(server: Sandbox) -> Sandbox:
    """A stand-in that holds nothing yet; one for all tests, since each takes a moment to stop."""
    server.reset()
    return server


@pytest.fixture
def api(lago: Sandbox) -> Iterator[Api]:
    api = Api(lago)
    with api.client:
        yield api


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[Sandbox]:
    with Sandbox(store="clickhouse") as sandbox:
        yield sandbox


@pytest.fixture
def clickhouse(clickhouse_server: Sandbox) -> Sandbox:
    """A stand-in with the ClickHouse store, deduplication and no lag, that holds nothing yet."""
    clickhouse_server.reset()
    return clickhouse_server


@pytest.fixture
def ch(clickhouse: Sandbox) -> Iterator[Api]:
    api = Api(clickhouse)
    with api.client:
        yield api


@pytest.fixture(scope="session")
def clocked_server() -> Iterator[tuple[Sandbox, Clock]]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reconciler.sandbox.app.Clock", lambda: clock)
        sandbox = Sandbox()
        sandbox.start()
    yield sandbox, clock
    sandbox.stop()


@pytest.fixture
def clock(clocked_server: tuple[Sandbox, Clock]) -> Clock:
    """The clock of `timed`: noon of a Friday, 15 May 2026, until a test moves it."""
    clocked_server[1].put("2026-05-15T12:00:00Z")
    return clocked_server[1]


@pytest.fixture
def timed(clocked_server: tuple[Sandbox, Clock], clock: Clock) -> Iterator[Api]:
    """A stand-in that holds nothing yet and lives by `clock`."""
    clocked_server[0].reset()
    api = Api(clocked_server[0])
    with api.client:
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
