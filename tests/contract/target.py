"""Which Lago is asked: its event store and its version, told as any client can tell them."""

import re
import uuid
from typing import Any, Literal, NamedTuple, get_args

import httpx

StoreName = Literal["postgres", "clickhouse"]
Version = tuple[int, int]


class NotLagoError(Exception):
    """What answers is no Lago, or does not take the key."""


class Target(NamedTuple):
    """A Lago to ask.

    Attributes:
        client: has its URL and key.
        store: its event store.
        version: its version, None for the newest.
        patience: how many seconds what is read may lag behind what was written.
    """

    client: httpx.Client
    store: StoreName
    version: Version | None
    patience: float

    def is_at_least(self, version: str | None) -> bool:
        """Tell whether it is of that version or a later one."""
        return version is None or self.version is None or self.version >= read_version(version)


def read_version(text: str) -> Version:
    """Return the first two numbers of a version such as `v1.51.0`.

    Raises:
        ValueError: it is none.
    """
    found = re.match(r"v?(\d+)\.(\d+)(\.|$)", text)
    if not found:
        raise ValueError(f"{text!r} is no version of Lago, such as 1.51")
    return int(found[1]), int(found[2])


def version_of(client: httpx.Client, told: str | None = None) -> Version | None:
    """Return the version: as told, or as Lago tells it beside its API; None where it doesn't.

    Raises:
        ValueError: what was told is no version.
    """
    if told:
        return read_version(told)
    number = _json(client.get(client.base_url.join("/health"))).get("version")
    try:
        return read_version(str(number))
    except ValueError:
        return None


def store_of(client: httpx.Client) -> StoreName:
    """Return the event store.

    Lago tells it since 1.47. Before that only ClickHouse has enriched events; before 1.36, when nobody had them,
    the answer to an event tells: on ClickHouse there is no row yet that could have an id.

    Raises:
        NotLagoError: these answers are not Lago's.
    """
    told = client.get("organizations")
    organization = _json(told).get("organization")
    if isinstance(organization, dict) and (store := organization.get("events_store")) in get_args(StoreName):
        return "postgres" if store == "postgres" else "clickhouse"
    if told.status_code not in {200, 403}:
        raise NotLagoError(f"GET /api/v1/organizations is {told.status_code}")
    enriched = client.get("events_enriched")
    match enriched.status_code:
        case 403:
            return "postgres"
        case 200:
            return "clickhouse"
        case 404 if _json(enriched).get("status") == 404:
            return _store_by_answer(client)
        case status:
            raise NotLagoError(f"GET /api/v1/events_enriched is {status}")


def _store_by_answer(client: httpx.Client) -> StoreName:
    name = f"contract-{uuid.uuid4().hex[:12]}"
    event = {"transaction_id": name, "external_subscription_id": name, "code": name, "timestamp": "1710421740.250"}
    answer = client.post("events", json={"event": event})
    stored = _json(answer).get("event")
    if answer.status_code != 200 or not isinstance(stored, dict):
        raise NotLagoError(f"POST /api/v1/events is {answer.status_code}")
    return "postgres" if stored.get("lago_id") else "clickhouse"


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
