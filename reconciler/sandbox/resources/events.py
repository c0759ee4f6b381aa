"""Taking events in and giving them back: what Lago checks and answers, whichever of its stores keeps them.

Lago checks little: that an id and a code are there, that the timestamp is a number, on Postgres that the id
is new. Whether the subscription or the metric exists, or a property is numeric, nobody asks.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from starlette.responses import Response

from reconciler.sandbox.call import Call, json_response, page_meta, paged
from reconciler.sandbox.grammar import (
    SECOND,
    decimal128,
    format_instant,
    parse_iso,
    parse_timestamp,
    ruby_decimal,
    scalar_text,
)
from reconciler.sandbox.refusals import forbidden, invalid, not_found
from reconciler.sandbox.resources.catalog import METRIC, SUBSCRIPTION
from reconciler.sandbox.resources.expression import EvaluationError, Expression, parse
from reconciler.sandbox.resources.expression import Event as Evaluated
from reconciler.sandbox.stores.clickhouse import ClickHouseStore, read_back
from reconciler.sandbox.stores.store import Draft, Event, EventFilter, Thing
from reconciler.sandbox.trouble.chance import Named

_DUPLICATE = {"transaction_id": ["value_already_exist"]}
_Expressions = Callable[[str | None], tuple[str, Expression] | None]


class InvalidEventError(Exception):
    """What is wrong with one event: field to error codes or, if its expression failed, a sentence."""

    def __init__(self, details: dict[str, list[str]] | str) -> None:
        super().__init__(details)
        self.details = details


# -- handlers


def create(call: Call) -> dict[str, Any]:
    """POST /events: take one event in."""
    try:
        draft = evaluated(read_event(call, call.root("event")), expressions_of(call))
        if call.store.checks_presence:
            _check_presence(draft)
            _check_subscription(draft)
    except InvalidEventError as error:
        raise invalid(error.details) from None
    with call.store.transaction():
        (event,) = call.store.add([draft])
        if event is None:
            raise invalid(_DUPLICATE)
    call.lago.stored([event])
    return {"event": render(event)}


def create_batch(call: Call) -> dict[str, Any]:
    """POST /events/batch: take all events in or none; duplicates are looked for only when every event is valid."""
    sent = call.body.get("events")
    params = [event for event in sent if isinstance(event, dict)] if isinstance(sent, list) else []
    if not params:
        raise invalid({"events": ["no_events"]})
    if len(params) > call.lago.batch_max_length:
        raise invalid({"events": ["too_many_events"]})

    drafts: list[Draft] = []
    errors: dict[str, Any] = {}
    expressions = expressions_of(call)
    for position, event_params in enumerate(params):
        try:
            draft = read_event(call, event_params)
            _check_presence(draft)
            drafts.append(evaluated(draft, expressions))
        except InvalidEventError as error:
            errors[str(position)] = error.details
    if errors:
        raise invalid(errors)

    with call.store.transaction():
        events = call.store.add(drafts)
        if taken := [str(position) for position, event in enumerate(events) if event is None]:
            raise invalid(dict.fromkeys(taken, _DUPLICATE))
    stored = [event for event in events if event]
    call.lago.stored(stored)
    return {"events": [render(event) for event in stored]}


def show(call: Call) -> dict[str, Any]:
    """GET /events/:transaction_id: an event of that id, of whichever subscription."""
    event = call.store.event(call.organization, call.path["transaction_id"])
    if event is None:
        raise not_found("event")
    return {"event": render(event, call.store.subscription_of(event))}


def index(call: Call) -> dict[str, Any]:
    """GET /events: a page of events as the store lists them."""
    wanted = _wanted(call)
    page, per_page = call.page()
    events = list(call.store.events(wanted, limit=per_page, offset=(page - 1) * per_page))
    return {
        "events": [render(event, call.store.subscription_of(event)) for event in events],
        "meta": page_meta(page, per_page, call.store.count(wanted)),
    }


def index_enriched(call: Call) -> Response:
    """GET /events_enriched: only the ClickHouse store has it."""
    if not isinstance(call.store, ClickHouseStore):
        raise forbidden("endpoint_not_available")
    metrics = {metric["code"]: metric for metric in call.store.things(call.organization, METRIC)}
    rows = [_render_enriched(*row, metrics.get(row[0].code or "")) for row in call.store.enriched(_wanted(call))]
    return json_response(paged(call, "events", rows), headers={"X-Lago-Endpoint-Status": "beta"})


def _wanted(call: Call) -> EventFilter:
    """Read the filters of a list.

    Raises:
        RefusalError: 422, a filter makes no sense.
    """
    query = call.query
    subscription, from_start = query.get("external_subscription_id"), query.get("timestamp_from_started_at", "false")
    errors: dict[str, Any] = {}
    if from_start not in {"true", "false"}:
        errors["timestamp_from_started_at"] = ["must be one of: true, false"]
    if from_start == "true" and query.get("timestamp_from"):
        errors["timestamp_from"] = ["cannot be used with timestamp_from_started_at"]
    if from_start == "true" and not subscription:
        errors["external_subscription_id"] = ["required with timestamp_from_started_at"]
    if errors:
        raise invalid(errors)
    since = _start(call, subscription or "") if from_start == "true" else _instant(query, "timestamp_from")
    return EventFilter(call.organization, subscription, query.get("code"), since, _instant(query, "timestamp_to"))


def _start(call: Call, external_id: str) -> int | None:
    """Return when the subscription began: the one that lives, or else the last that ended; None if there is none."""
    known = call.store.things(call.organization, SUBSCRIPTION, external_id)
    ended = [(one["terminated_at"] is None, one["terminated_at"] or 0, one["started_at"] or 0) for one in known]
    return max(ended)[-1] if ended else None


# -- in


def sent(body: Mapping[str, Any]) -> list[Named]:
    """Return what the events in a request's body are called, in order, whatever else is wrong with it."""
    single, batch = body.get("event"), body.get("events")
    events = [single] if isinstance(single, dict) else batch if isinstance(batch, list) else []
    return [
        Named(str(event.get("transaction_id")), str(event.get("external_subscription_id")))
        for event in events
        if isinstance(event, dict)
    ]


def read_event(call: Call, params: Mapping[str, Any]) -> Draft:
    """Read the parameters that Lago permits; all others are ignored.

    Raises:
        InvalidEventError: a timestamp that is no number.
    """
    received_at = call.lago.now()
    try:
        timestamp = _timestamp(params.get("timestamp"), received_at)
    except ValueError:
        raise InvalidEventError({"timestamp": ["invalid_format"]}) from None
    properties = params.get("properties")
    return Draft(
        organization=call.organization,
        transaction_id=_scalar(params.get("transaction_id")),
        subscription=_scalar(params.get("external_subscription_id")),
        code=_scalar(params.get("code")),
        timestamp=timestamp,
        cents=params.get("precise_total_amount_cents"),
        properties=properties if isinstance(properties, dict) else {},
        received_at=received_at,
    )


def _check_presence(draft: Draft) -> None:
    """Raise `InvalidEventError` unless there are an id and a code."""
    named = (("transaction_id", draft.transaction_id), ("code", draft.code))
    if missing := [name for name, text in named if not (text and text.strip())]:
        raise InvalidEventError({name: ["value_is_mandatory"] for name in missing})


def _check_subscription(draft: Draft) -> None:
    """Raise `InvalidEventError` for a NUL character, which Lago takes for a wrong timestamp in a single event."""
    if "\0" in (draft.subscription or ""):
        raise InvalidEventError({"timestamp": ["invalid_format"]})


def expressions_of(call: Call) -> _Expressions:
    """Return what finds the expression of a code's metric and the field for its result, asking once a request."""

    @cache
    def find(code: str | None) -> tuple[str, Expression] | None:
        for metric in call.store.things(call.organization, METRIC, code) if code else ():
            if metric["expression"]:
                return str(metric["field_name"]), parse(metric["expression"])
        return None

    return find


def evaluated(draft: Draft, expressions: _Expressions) -> Draft:
    """Return the event with the result of its metric's expression, if it has one.

    Raises:
        InvalidEventError: the expression does not fit the event.
    """
    found = expressions(draft.code)
    if found is None:
        return draft
    field, expression = found
    try:
        result = expression.evaluate(Evaluated(draft.code or "", draft.timestamp // SECOND, draft.properties))
    except EvaluationError as error:
        raise InvalidEventError(f"expression_evaluation_failed: {error}") from None
    return draft._replace(properties={**draft.properties, field: result})


def _timestamp(given: Any, received_at: int) -> int:
    match given:
        case None | False | dict() | list():
            return received_at
        case True:
            raise ValueError(given)
        case _:
            return parse_timestamp(scalar_text(given))


def _scalar(value: Any) -> str | None:
    """Cast what a string column takes; Rails drops an object or an array as not permitted."""
    return None if value is None or isinstance(value, dict | list) else scalar_text(value)


# -- out


def render(event: Event, subscription: Thing | None = None) -> dict[str, Any]:
    """Return an event as Lago serializes it, with the subscription that it belongs to where Lago looks it up."""
    return {
        "lago_id": event.lago_id,
        "transaction_id": event.transaction_id,
        "lago_customer_id": subscription and subscription["lago_customer_id"],
        "code": event.code,
        "timestamp": format_instant(event.timestamp, milliseconds=True),
        "precise_total_amount_cents": event.cents,
        "properties": msgspec.Raw(event.properties.encode()),
        "lago_subscription_id": subscription and subscription["lago_id"],
        "external_subscription_id": event.subscription,
        "created_at": None if event.created_at is None else format_instant(event.created_at),
    }


def _render_enriched(event: Event, enriched_at: int, metric: Thing | None) -> dict[str, Any]:
    """Return a row of `events_enriched`, whose value Lago's events-processor took out of the properties."""
    properties = event.decoded()
    counts = metric is not None and metric["aggregation_type"] == "count_agg"
    value = 1 if counts or metric is None else properties.get(metric["field_name"])
    event = read_back(event)
    return {
        "transaction_id": event.transaction_id,
        "external_subscription_id": event.subscription,
        "code": event.code,
        "timestamp": format_instant(event.timestamp, milliseconds=True),
        "enriched_at": format_instant(enriched_at, milliseconds=True),
        "value": "<nil>" if value is None else scalar_text(value),
        "decimal_value": ruby_decimal(decimal128(value) or Decimal(0)),
        "precise_total_amount_cents": event.cents,
        "properties": msgspec.Raw(event.properties.encode()),
    }


def _instant(query: Mapping[str, str], name: str) -> int | None:
    if not query.get(name):
        return None
    try:
        return parse_iso(query[name])
    except ValueError:
        raise invalid({name: ["invalid_date"]}) from None
