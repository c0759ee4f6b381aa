"""What a charge makes of an event of some model, as Lago reckons it."""

from decimal import Decimal
from typing import Any

import pytest

from reconciler.delivery.billable.prices import Price, price, rates, strange_keys

GPT, CLAUDE = "openai/gpt-4o", "anthropic/claude-sonnet"
METRIC = {"filters": [{"key": "model", "values": [GPT, CLAUDE]}, {"key": "type", "values": ["input"]}]}


def charge(amount: Any = "0", *filters: dict[str, Any], model: str = "standard", **properties: Any) -> dict[str, Any]:
    own = {} if amount is None else {"amount": amount}
    return {"charge_model": model, "properties": own | properties, "filters": list(filters)}


def of(amount: str, **values: list[str]) -> dict[str, Any]:
    return {"values": values, "properties": {"amount": amount}}


ZERO = [{"from_value": 0, "to_value": None, "per_unit_amount": "0", "flat_amount": "0.0"}]
LATER = [{**ZERO[0], "to_value": 100}, {**ZERO[0], "from_value": 101, "per_unit_amount": "0.1"}]


@pytest.mark.parametrize(
    ("charge", "model", "expected"),
    [
        (charge("1"), GPT, Price.CHARGED),
        (charge("0"), GPT, Price.FREE),
        (charge("0.0000000001"), GPT, Price.CHARGED),
        # A filter for some models: the charge's own price bills the others, if it is one.
        (charge("0", of("2", model=[CLAUDE])), GPT, Price.NONE),
        (charge(None, of("2", model=[CLAUDE])), GPT, Price.NONE),
        ({**charge(), "properties": None, "filters": [of("2", model=[CLAUDE])]}, GPT, Price.NONE),
        (charge("1", of("2", model=[CLAUDE])), GPT, Price.CHARGED),
        (charge("0", of("2", model=[GPT, CLAUDE])), GPT, Price.CHARGED),
        (charge("0", of("2", model=["gpt-4o"])), GPT, Price.NONE),
        (charge("1", of("0", model=[GPT])), GPT, Price.FREE),
        (charge("0", of("2", model=["__ALL_FILTER_VALUES__"])), GPT, Price.CHARGED),
        (charge("0", of("2", model=["__ALL_FILTER_VALUES__"])), "unknown", Price.NONE),
        # Of two filters for a model the narrower one counts, of two alike the older, of two that overlap each.
        (charge("0", of("2", model=[GPT, CLAUDE]), of("0", model=[GPT])), GPT, Price.FREE),
        (charge("0", of("0", model=[GPT]), of("2", model=[GPT])), GPT, Price.FREE),
        (charge("0", of("0", model=[GPT, "a"]), of("2", model=[GPT, "b"])), GPT, Price.CHARGED),
        # A property that no event of ours has matches nothing; one that only some have can't be told.
        (charge("0", of("2", model=[GPT], type=["input"])), GPT, Price.NONE),
        (charge("0", of("2", model=[GPT], customer=["acme"])), GPT, Price.CHARGED),
        (charge("0", of("2", model=[GPT])), "", Price.NONE),
        (charge("0", model="package", package_size=1000), GPT, Price.FREE),
        (charge("2", model="package", package_size=1000), GPT, Price.CHARGED),
        (charge(None, model="percentage", rate="0"), GPT, Price.FREE),
        (charge(None, model="percentage", rate="0", fixed_amount="0.1"), GPT, Price.CHARGED),
        (charge(None, model="percentage", rate="0", per_transaction_min_amount="0.1"), GPT, Price.CHARGED),
        (charge(None, model="graduated", graduated_ranges=ZERO), GPT, Price.FREE),
        (charge(None, model="graduated", graduated_ranges=LATER), GPT, Price.CHARGED),
        (charge(None, model="volume", volume_ranges=ZERO), GPT, Price.FREE),
        (charge(None, model="custom"), GPT, Price.CHARGED),
        (charge("much"), GPT, Price.CHARGED),
    ],
)  # fmt: skip
def test_a_model_is_priced_by_its_filter_or_by_the_charge_itself(
    charge: dict[str, Any], model: str, expected: Price
) -> None:
    assert price([charge], METRIC, model, has_cents=False) is expected


def test_a_dynamic_charge_needs_events_that_say_their_price() -> None:
    dynamic = charge(None, model="dynamic")
    assert price([dynamic], METRIC, GPT, has_cents=False) is Price.NO_CENTS
    assert price([dynamic], METRIC, GPT, has_cents=True) is Price.CHARGED


def test_of_several_charges_one_that_costs_something_is_enough() -> None:
    assert price([charge("0"), charge("1"), charge("0")], METRIC, GPT, has_cents=False) is Price.CHARGED


def test_the_properties_that_filters_ask_for_and_events_lack_are_named() -> None:
    assert strange_keys([charge("0", of("2", model=[GPT], type=["input"], customer=["a"]))]) == ["type"]


UNIT = {"applied_pricing_unit": {"code": "usd", "conversion_rate": "0.92"}}


@pytest.mark.parametrize(
    ("charge", "expected"),
    [
        (charge("1"), ["1"]),
        (charge("0.92"), ["0.92"]),
        (charge("0", of("1.0", model=[GPT]), of("0.9", model=[CLAUDE])), ["1", "0.9"]),
        (charge("1") | UNIT, ["0.92"]),
        (charge("100", model="package", package_size=100), ["1"]),
        (charge(None, model="percentage", rate="92"), ["0.92"]),
        (charge(None, model="graduated", graduated_ranges=LATER), ["0.1"]),
        (charge(None, model="dynamic"), ["1"]),
        (charge(None, model="dynamic") | UNIT, ["0.92"]),
        (charge(None, model="custom"), []),
        (charge("much"), []),
        (charge("1e999999999"), []),
        (charge("NaN"), []),
    ],
)
def test_a_charge_says_what_it_makes_of_a_unit(charge: dict[str, Any], expected: list[str]) -> None:
    assert rates([charge]) == {Decimal(each) for each in expected}
