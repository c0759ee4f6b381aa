"""Metrics whose value is computed when an event comes in."""

from typing import Any

from tests.contract.case import Case
from tests.contract.cases.common import created, event, invalid, post, send
from tests.contract.cases.metrics import metric

SPEC = "api spec/requests/api/v1/events_controller_spec.rb"
SUM = metric(field_name="value", expression="event.properties.a + event.properties.b")
FAILED = "expression_evaluation_failed: Variable: b not found"


def added(transaction_id: str = "$run-1", **properties: Any) -> dict[str, Any]:
    return event(transaction_id, properties=properties)


CASES = [
    Case(
        "an expression's result is stored in the metric's field, as text",
        post("events", {"event": added(a="1", b="2")}),
        200,
        {"event": created(properties={"a": "1", "b": "2", "value": "3.0"})},
        before=[SUM],
        source=f"{SPEC}:103-108",
    ),
    Case(
        "an event that lacks a property of its metric's expression is refused in a sentence",
        post("events", {"event": added(a="1")}),
        422,
        invalid(FAILED),
        before=[SUM],
        source="api app/services/events/create_service.rb:26-27",
    ),
    Case(
        "expressions' results are stored in a batch, too",
        send(added("$run-1", a="1", b="2"), added("$run-2", a="0.5", b="0.25")),
        200,
        {
            "events": [
                created("$run-1", properties={"a": "1", "b": "2", "value": "3.0"}),
                created("$run-2", properties={"a": "0.5", "b": "0.25", "value": "0.75"}),
            ]
        },
        before=[SUM],
        source=SPEC,
    ),
    Case(
        "in a batch an event that lacks a property of the expression is named by its index",
        send(added("$run-1", a="1", b="2"), added("$run-2", a="1")),
        422,
        invalid({"1": FAILED}),
        before=[SUM],
        source=SPEC,
    ),
]
