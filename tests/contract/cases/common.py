"""What the cases share: events as they are sent and shown, refusals, requests."""

from collections.abc import Mapping
from typing import Any

from tests.contract.case import RECENT, TEXT, UUID, Ask, PerStore

PROPERTIES = {"model": "gpt-4o", "response_cost": "0.00042", "input_tokens": 820}


def event(transaction_id: Any = "$run-1", **fields: Any) -> dict[str, Any]:
    """An event that Lago takes, with some fields changed; a field of `...` is left out.

    Its timestamp is one that a double holds exactly, for Lagos before 1.48 made doubles of them.
    """
    plain = {
        "transaction_id": transaction_id,
        "external_subscription_id": "$run",
        "code": "$run",
        "timestamp": "1710421740.250",
        "properties": PROPERTIES,
    }
    return {name: value for name, value in (plain | fields).items() if value is not ...}


def created(transaction_id: Any = "$run-1", **fields: Any) -> dict[str, Any]:
    """The same as Lago answers it: on ClickHouse nothing is saved yet that could have an id."""
    return {
        "lago_id": PerStore(UUID, None),
        "transaction_id": transaction_id,
        "lago_customer_id": None,
        "code": "$run",
        "timestamp": "2024-03-14T13:09:00.250Z",
        "precise_total_amount_cents": None,
        "properties": PROPERTIES,
        "lago_subscription_id": None,
        "external_subscription_id": "$run",
        "created_at": PerStore(RECENT, None),
    } | fields


def read(transaction_id: Any = "$run-1", **fields: Any) -> dict[str, Any]:
    """The same as Lago gives it back: on ClickHouse all properties are text, and cents that were not sent are 0."""
    shown = {
        "lago_id": PerStore(UUID, TEXT),
        "created_at": RECENT,
        "precise_total_amount_cents": PerStore(None, "0.0"),
        "properties": PerStore(PROPERTIES, PROPERTIES | {"input_tokens": "820"}),
    }
    return created(transaction_id) | shown | fields


def post(path: str, body: Any, **headers: str) -> Ask:
    return Ask("POST", path, json=body, headers=headers)


def get(path: str, query: Mapping[str, str] | None = None) -> Ask:
    return Ask("GET", path, query=query or {})


def send(*events: dict[str, Any]) -> Ask:
    """A batch."""
    return post("events/batch", {"events": list(events)})


def error(status: int, phrase: str, code: str) -> dict[str, Any]:
    return {"status": status, "error": phrase, "code": code}


def invalid(details: Any) -> dict[str, Any]:
    return error(422, "Unprocessable Entity", "validation_errors") | {"error_details": details}


def bad_request(name: str) -> dict[str, Any]:
    return {"status": 400, "error": f"BadRequest: param is missing or the value is empty or invalid: {name}"}


LOCALE = "api config/locales/en.yml:69"
"""Where the words of refusals are."""
TAKEN = {"transaction_id": ["value_already_exist"]}
MISSING = {"transaction_id": ["value_is_mandatory"]}
UNAUTHORIZED = {"status": 401, "error": "Unauthorized"}
NOTHING = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}
"""The `meta` of an empty list."""
