"""Taking events in and giving them back, as Lago's Postgres event store does.

Lago checks little: that an id and a code are there, that the timestamp is a number, that the id is new.
Whether the subscription or the metric exists, or a property is numeric, nobody asks. What its database can't
hold (a NUL character, an index row over a page's third, an instant or an amount out of range) passes the
checks and ends in a 500, in a batch for all of its events.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from reconciler.sandbox.call import Call, page_meta
from reconciler.sandbox.errors import forbidden, invalid, not_found
from reconciler.sandbox.grammar import (
    UnstorableError,
    check_instant,
    finite,
    format_instant,
    parse_cents,
    parse_iso,
    parse_timestamp,
    scalar_text,
)
from reconciler.sandbox.store import Event, EventFilter, new_id

_DUPLICATE = {"transaction_id": ["value_already_exist"]}

# What an entry of the unique index may take: the organization's uuid and both texts. Postgres compresses
# repetitive text first, the stand-in does not.
_INDEX_ROW_BYTES = 2704
_UUID_BYTES = 16


class InvalidEventError(Exception):
    """What is wrong with one event: field to error codes."""

    def __init__(self, details: dict[str, list[str]]) -> None:
        super().__init__(details)
        self.details = details


# -- handlers


def create(call: Call) -> dict[str, Any]:
    """POST /events: store one event."""
    try:
        valid = _validate(call, call.root("event"))
    except InvalidEventError as error:
        raise invalid(error.details) from None
    with call.store.transaction():
        event = _insert(call, valid)
        if event is None:
            raise invalid(_DUPLICATE)
    return {"event": render(event)}


def create_batch(call: Call) -> dict[str, Any]:
    """POST /events/batch: store all events or none.

    Duplicates are looked for only when every event is valid. Like Lago, it tells which events are new by
    their transaction_id alone: of two events with one id and two subscriptions the later is refused,
    whichever of them was already stored.
    """
    sent = call.body.get("events")
    params = [event for event in sent if isinstance(event, dict)] if isinstance(sent, list) else []
    if not params:
        raise invalid({"events": ["no_events"]})
    if len(params) > call.lago.batch_max_length:
        raise invalid({"events": ["too_many_events"]})

    valid: list[_Valid] = []
    errors: dict[str, Any] = {}
    for position, event_params in enumerate(params):
        try:
            valid.append(_validate(call, event_params))
        except InvalidEventError as error:
            errors[str(position)] = error.details
    if errors:
        raise invalid(errors)

    with call.store.transaction():
        stored = [event for one in valid if (event := _insert(call, one))]
        new = {event.transaction_id: event for event in stored}
        answer = []
        for position, one in enumerate(valid):
            event = new.pop(one.transaction_id, None)
            if event:
                answer.append(render(event))
            else:
                errors[str(position)] = _DUPLICATE
        if errors:
            raise invalid(errors)
    return {"events": answer}


def show(call: Call) -> dict[str, Any]:
    """GET /events/:transaction_id: an event of that id, of whichever subscription."""
    event = call.store.event(call.organization, call.path["transaction_id"])
    if event is None:
        raise not_found("event")
    return {"event": render(event)}


def index(call: Call) -> dict[str, Any]:
    """GET /events: a page of events, newest first."""
    query = call.query
    subscription = query.get("external_subscription_id")
    since = _instant(query, "timestamp_from")
    if query.get("timestamp_from_started_at") == "true":
        if "timestamp_from" in query:
            raise invalid({"timestamp_from": ["cannot be used with timestamp_from_started_at"]})
        if not subscription:
            raise invalid({"external_subscription_id": ["required with timestamp_from_started_at"]})
        known = call.store.things(call.organization, "subscription", subscription)
        since = known[0]["started_at"] if known else None
    wanted = EventFilter(call.organization, subscription, query.get("code"), since, _instant(query, "timestamp_to"))
    page, per_page = call.page()
    events = call.store.events(wanted, limit=per_page, offset=(page - 1) * per_page)
    return {
        "events": [render(event) for event in events],
        "meta": page_meta(page, per_page, call.store.count(wanted)),
    }


def index_enriched(_call: Call) -> dict[str, Any]:
    """GET /events_enriched: only the ClickHouse store has it."""
    raise forbidden("endpoint_not_available")


# -- in


def sent_ids(body: Mapping[str, Any]) -> list[str]:
    """Return the transaction ids in a request's body, in order, whatever else is wrong with it."""
    single, batch = body.get("event"), body.get("events")
    events = [single] if isinstance(single, dict) else batch if isinstance(batch, list) else []
    return [str(event.get("transaction_id")) for event in events if isinstance(event, dict)]


class _Valid(NamedTuple):
    """An event that Lago's validation let pass; its database has not seen it yet."""

    transaction_id: str
    subscription: str | None
    code: str
    timestamp: int
    cents: Any
    properties: dict[str, Any]


def _validate(call: Call, params: Mapping[str, Any]) -> _Valid:
    """Read the parameters that Lago permits; all others are ignored.

    Raises:
        InvalidEventError: a timestamp that is no number, or else a missing id or code.
    """
    try:
        timestamp = _timestamp(call, params.get("timestamp"))
    except ValueError:
        raise InvalidEventError({"timestamp": ["invalid_format"]}) from None
    transaction_id, code = _scalar(params.get("transaction_id")), _scalar(params.get("code"))
    missing = [
        name for name, text in (("transaction_id", transaction_id), ("code", code)) if not (text and text.strip())
    ]
    if missing:
        raise InvalidEventError({name: ["value_is_mandatory"] for name in missing})
    properties = params.get("properties")
    return _Valid(
        transaction_id=transaction_id or "",
        subscription=_scalar(params.get("external_subscription_id")),
        code=code or "",
        timestamp=timestamp,
        cents=params.get("precise_total_amount_cents"),
        properties=properties if isinstance(properties, dict) else {},
    )


def _timestamp(call: Call, given: Any) -> int:
    match given:
        case None | False | dict() | list():
            return call.lago.now()
        case True:
            raise ValueError(given)
        case _:
            return parse_timestamp(scalar_text(given))


def _insert(call: Call, valid: _Valid) -> Event | None:
    """Store an event, or return None if its id is taken in its subscription.

    Raises:
        UnstorableError: Postgres would refuse the row.
    """
    check_instant(valid.timestamp)
    texts = [valid.transaction_id, valid.code, valid.subscription or ""]
    key = valid.transaction_id + (valid.subscription or "")
    if any("\0" in text for text in texts) or _UUID_BYTES + len(key.encode()) > _INDEX_ROW_BYTES:
        raise UnstorableError(valid.transaction_id)
    event = Event(
        organization=call.organization,
        transaction_id=valid.transaction_id,
        subscription=valid.subscription,
        code=valid.code,
        timestamp=valid.timestamp,
        cents=parse_cents(valid.cents),
        properties=msgspec.json.encode(_jsonb(valid.properties)).decode(),
        created_at=call.lago.now(),
        lago_id=new_id(),
    )
    return event if call.store.insert(event) else None


def _scalar(value: Any) -> str | None:
    """Cast what a string column takes; Rails drops an object or an array as not permitted."""
    return None if value is None or isinstance(value, dict | list) else scalar_text(value)


def _jsonb(value: Any) -> Any:
    """Return the value as Postgres' jsonb keeps it: keys by length, then bytewise."""
    match value:
        case str():
            if "\0" in value:
                raise UnstorableError(value)
            return value
        case float():
            return finite(value)
        case dict():
            keys = sorted((len(key.encode()), key.encode(), key) for key in value)
            return {_jsonb(key): _jsonb(value[key]) for *_, key in keys}
        case list():
            return [_jsonb(item) for item in value]
        case _:
            return value


# -- out


def render(event: Event) -> dict[str, Any]:
    """Return an event as Lago serializes it."""
    return {
        "lago_id": event.lago_id,
        "transaction_id": event.transaction_id,
        "lago_customer_id": None,
        "code": event.code,
        "timestamp": format_instant(event.timestamp, milliseconds=True),
        "precise_total_amount_cents": event.cents,
        "properties": msgspec.Raw(event.properties.encode()),
        "lago_subscription_id": None,
        "external_subscription_id": event.subscription,
        "created_at": format_instant(event.created_at),
    }


def _instant(query: Mapping[str, str], name: str) -> int | None:
    if not query.get(name):
        return None
    try:
        return parse_iso(query[name])
    except ValueError:
        raise invalid({name: ["invalid_date"]}) from None
