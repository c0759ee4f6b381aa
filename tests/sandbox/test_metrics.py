from typing import Any

import pytest

from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, send, subscribe, units


def test_all_that_is_told_of_a_metric_is_shown(timed: Api) -> None:
    given: dict[str, Any] = {
        "description": "What models read",
        "recurring": True,
        "rounding_function": "ceil",
        "rounding_precision": 2,
        "expression": "event.properties.a + event.properties.b",
        "filters": [{"key": "type", "values": ["in", "out", "in"]}, {"key": "model", "values": ["gpt"]}],
    }
    made = make_metric(timed, **given)
    assert made == timed.get("billable_metrics/tokens").json()["billable_metric"]
    filters = [{"key": "model", "values": ["gpt"]}, {"key": "type", "values": ["in", "out"]}]
    assert {name: made[name] for name in given} == given | {"filters": filters}
    assert (made["weighted_interval"], made["aggregation_type"], made["field_name"]) == (None, "sum_agg", "value")


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"aggregation_type": "avg_agg"}, {"aggregation_type": ["value_is_invalid"]}),
        ({"aggregation_type": "max_agg", "recurring": True}, {"recurring": ["not_compatible_with_aggregation_type"]}),
        ({"aggregation_type": "weighted_sum_agg"}, {"weighted_interval": ["value_is_invalid"]}),
        ({"rounding_function": "up"}, {"rounding_function": ["value_is_invalid"]}),
        ({"field_name": ""}, {"field_name": ["value_is_mandatory"]}),
        ({"expression": "1 +"}, {"expression": ["invalid_expression"]}),
        ({"filters": [{"key": "model"}]}, {"values": ["value_is_mandatory"]}),
    ],
)
def test_what_makes_no_sense_is_refused(timed: Api, change: dict[str, object], details: dict[str, object]) -> None:
    metric = {"name": "T", "code": "t", "aggregation_type": "sum_agg", "field_name": "value"}
    assert timed.post("billable_metrics", {"billable_metric": metric | change}).json() == invalid(details)


def test_a_custom_aggregation_needs_a_licence(timed: Api) -> None:
    metric = {"name": "T", "code": "t", "aggregation_type": "custom_agg", "custom_aggregator": "..."}
    refused = timed.post("billable_metrics", {"billable_metric": metric})
    assert refused.json() == {"status": 403, "error": "Forbidden", "code": "feature_unavailable"}


def change(api: Api, **fields: object) -> dict[str, object]:
    response = api.client.put("billable_metrics/tokens", json={"billable_metric": fields})
    changed: dict[str, object] = response.json()["billable_metric"]
    return changed


def test_until_somebody_subscribes_everything_can_be_changed(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed)))
    assert change(timed, field_name="tokens", rounding_function="floor")["field_name"] == "tokens"
    subscribe(timed)
    changed = change(timed, name="New", field_name="other", rounding_function="ceil")
    assert (changed["name"], changed["field_name"], changed["rounding_function"]) == ("New", "tokens", "floor")


def test_a_changed_code_is_found_by_the_new_one(timed: Api) -> None:
    make_metric(timed)
    make_metric(timed, "taken")
    assert change(timed, code="words")["code"] == "words"
    assert timed.get("billable_metrics/tokens").status_code == 404
    refused = timed.client.put("billable_metrics/words", json={"billable_metric": {"code": "taken"}})
    assert refused.json() == invalid({"code": ["value_already_exist"]})


def test_a_filter_value_that_goes_leaves_the_charges_too(timed: Api) -> None:
    metric = make_metric(timed, filters=[{"key": "model", "values": ["gpt", "claude"]}])
    filters = [{"values": {"model": values}, "properties": {"amount": "1"}} for values in (["gpt", "claude"], ["gpt"])]
    make_plan(timed, charge(metric, filters=filters))
    change(timed, filters=[{"key": "model", "values": ["claude"]}])
    (left,) = timed.get("plans/p").json()["plan"]["charges"][0]["filters"]
    assert left["values"] == {"model": ["claude"]}


def test_a_deleted_metric_takes_its_charges_along_and_leaves_its_events(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed)), charge(make_metric(timed, "calls", "count_agg")))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-15T10:00:00Z")
    (event,) = timed.get("events").json()["events"]
    assert timed.client.delete("billable_metrics/tokens").json()["billable_metric"]["code"] == "tokens"
    assert timed.get("billable_metrics/tokens").json()["code"] == "billable_metric_not_found"
    assert charge_usage(timed)["billable_metric"]["code"] == "calls"
    assert timed.get(f"events/{event['transaction_id']}").json()["event"] == event
    assert timed.get("events").json()["events"] == [event]
    again = timed.send(event | {"timestamp": 1778839200})
    assert again.json() == invalid({"0": {"transaction_id": ["value_already_exist"]}})  # its id stays taken


def test_the_code_of_a_deleted_metric_is_free(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed)))
    timed.client.delete("billable_metrics/tokens")
    make_plan(timed, charge(make_metric(timed)), code="q")
    subscribe(timed, plan_code="q", subscription_at="2026-05-01T00:00:00Z")
    send(timed, 4, at="2026-05-15T10:00:00Z")
    assert units(timed) == "4.0"


def test_an_expression_can_be_tried(timed: Api) -> None:
    def tried(expression: str | None, **properties: object) -> Any:
        event = {"code": "tokens", "timestamp": "1778839200.5", "properties": properties}
        return timed.post("billable_metrics/evaluate_expression", {"expression": expression, "event": event}).json()

    total = "event.properties.a + event.properties.b * 2"
    assert tried(total, a=1, b="2.5") == {"expression_result": {"value": "6.0"}}
    assert tried("concat(event.code, '-', event.properties.a)", a="x")["expression_result"]["value"] == "tokens-x"
    assert tried(total, a=1) == invalid({"event": ["invalid_event"]})
    assert tried("1 +") == invalid({"expression": ["invalid_expression"]})
    assert tried(None) == invalid({"expression": ["value_is_mandatory"]})
