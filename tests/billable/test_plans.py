"""What metric and plan make of usage, without asking anybody."""

from decimal import Decimal
from typing import Any

import pytest

from reconciler.delivery.billable.metric import unbillable
from reconciler.delivery.billable.plans import Metered, later, not_counted, of_plan
from reconciler.report.usage import Usage
from reconciler.settings.meter import MeterSettings

GPT, IMAGE = "openai/gpt-4o", "openai/image"
SUM = {"aggregation_type": "sum_agg", "field_name": "response_cost"}
USED = {"acme": {GPT: Usage(2, Decimal(3), None, None, 10, 20), IMAGE: Usage(1, Decimal(5), None, None, 10, 0)}}


def meter(**more: Any) -> MeterSettings:
    return MeterSettings.model_validate({"name": "default", "lago_api_event_code": "usage", **more})


def plan(*charges: dict[str, Any], currency: str = "USD") -> dict[str, Any]:
    standard = {"billable_metric_code": "usage", "charge_model": "standard", "properties": {"amount": "1"}}
    return {"amount_currency": currency, "charges": [standard | charge for charge in charges]}


@pytest.mark.parametrize(
    ("changed", "settings", "said"),
    [
        ({}, {}, None),
        ({"field_name": "requests"}, {}, None),
        ({"field_name": "total_tokens"}, {"properties": "both"}, None),
        ({"field_name": "cost", "expression": "event.properties.response_cost * 2"}, {}, None),
        ({"field_name": "total_tokens"}, {}, "which sums the property 'total_tokens', not input_tokens or"),
        ({"field_name": "input_tokens"}, {"properties": "callback"}, "which sums the property 'input_tokens', not"),
        ({"aggregation_type": "max_agg"}, {}, "which aggregates by max_agg, not by sum_agg"),
        ({"aggregation_type": "count_agg", "field_name": None}, {}, "which aggregates by count_agg"),
        ({"recurring": True}, {}, "which is recurring"),
        ({"rounding_function": "ceil"}, {}, "which rounds what it counts (ceil, to 0 decimals)"),
        ({"rounding_function": "round", "rounding_precision": 1}, {}, "which rounds what it counts (round, to 1"),
        ({"rounding_function": "ceil", "rounding_precision": 2}, {}, None),  # as Lago does with each fee
        ({"field_name": "input_tokens", "rounding_function": "round"}, {}, None),  # whole they are
        ({"field_name": "input_tokens", "rounding_function": "floor", "rounding_precision": -3}, {}, "to -3 decimals"),
        ({"expression": "event.properties.total_tokens * 2"}, {}, "which computes by the property 'total_tokens'"),
        ({"expression": "event.properties.total_tokens * event.properties.requests"}, {"properties": "both"}, None),
        ({"expression": "concat(event.properties.model, event.code)", "rounding_function": "ceil"}, {}, None),
    ],
)
def test_a_metric_counts_what_our_events_hold_or_says_why_not(
    changed: dict[str, Any], settings: dict[str, str], said: str | None
) -> None:
    found = unbillable(meter(**settings), SUM | changed, {"acme": Usage(1, Decimal(2))})
    assert (found and said and said in found.what) == (True if said else None)


@pytest.mark.parametrize(
    ("field", "models"),
    [
        ("output_tokens", (IMAGE,)), ("completion_tokens", (IMAGE,)), ("input_tokens", ()), ("total_tokens", ()),
        ("requests", ()), ("response_cost", ()),
    ],
)  # fmt: skip
def test_usage_with_a_cost_and_none_of_what_is_summed_is_named_by_model(field: str, models: tuple[str, ...]) -> None:
    found = not_counted(Metered(meter(properties="both"), SUM | {"field_name": field}), USED)
    assert (found.models if found else ()) == models
    if found:
        assert found.usage.cost == Decimal(5)


@pytest.mark.parametrize(
    ("field", "charges", "expected"),
    [
        ("response_cost", [{}], "currency"),
        ("response_cost", [{"properties": {"amount": "0"}}], "free"),
        ("response_cost", [{"properties": {"amount": "0.92"}}], "exchanged"),  # as the cure of the first one says
        ("response_cost", [{"properties": {"amount": "0.92"}}, {}], "currency"),
        ("input_tokens", [{}], None),  # tokens have a price in any currency
        ("input_tokens", [{"charge_model": "dynamic"}], "currency"),
    ],
)
def test_a_plan_in_another_currency_is_wrong_where_it_passes_the_cost_on_as_it_is(
    field: str, charges: list[dict[str, Any]], expected: str | None
) -> None:
    metered = Metered(meter(precise_cents="true"), SUM | {"field_name": field})
    found = list(of_plan(metered, "p", plan(*charges, currency="EUR"), USED))
    assert [one.kind for one in found] == ([expected] if expected else [])
    if expected == "exchanged":
        assert found[0].is_on_purpose
        assert "which is in EUR: a USD of cost is billed as 0.92 EUR" in found[0].sentence


def test_only_the_models_without_a_price_are_told_and_the_charges_own_price_bills_the_rest() -> None:
    filters = [{"values": {"model": [GPT]}, "properties": {"amount": "2"}}]
    [no_price] = of_plan(Metered(meter(), SUM), "p", plan({"properties": {"amount": "0"}, "filters": filters}), USED)
    assert (no_price.kind, no_price.models, no_price.usage.cost) == ("no price", (IMAGE,), Decimal(5))
    assert list(of_plan(Metered(meter(), SUM), "p", plan({"filters": filters}), USED)) == []


def test_filters_that_can_match_nothing_say_why() -> None:
    none = {"properties": {"amount": "0"}, "filters": [{"values": {"type": ["input"]}, "properties": {"amount": "2"}}]}
    [strange] = of_plan(Metered(meter(), SUM), "p", plan(none), USED)
    assert "events have no property 'type'" in strange.sentence
    [nameless] = of_plan(Metered(meter(model_column="none"), SUM), "p", plan(none), {"acme": {"": Usage(1)}})
    assert "set RECONCILE_MODEL_COLUMN=model" in nameless.sentence


def test_a_plan_without_a_charge_on_the_metric_costs_nothing() -> None:
    [bare] = of_plan(Metered(meter(), SUM), "p", plan({"billable_metric_code": "other"}), USED)
    assert (bare.kind, bare.usage.events, bare.models) == ("no charge", 3, ())


def test_what_a_plan_to_come_does_not_price_is_told_before_it_costs() -> None:
    metered = Metered(meter(), SUM)
    [told] = later(of_plan(metered, "p", plan({"billable_metric_code": "other"}), USED), "2026-12-05")
    assert told.kind == "next plan"
    assert told.sentence == (
        "3 events (8.00 USD) of subscriptions that change their plan on 2026-12-05; such usage will then be by the "
        "plan 'p', which has no charge on the metric 'usage', so that it costs nothing: acme (8.00 USD). Nothing is "
        "lost yet. Add a charge on the metric to the plan in Lago, or give these subscriptions another plan."
    )
    assert list(later(of_plan(metered, "p", plan({"properties": {"amount": "0"}}), USED), "2026-12-05")) == []
