"""What each charge model makes of units, as current usage shows it."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, post_plan, send, subscribe

AT = "2026-05-15T10:00:00Z"

RANGES: list[dict[str, Any]] = [
    {"from_value": 0, "to_value": 10, "per_unit_amount": "2", "flat_amount": "1"},
    {"from_value": 11, "to_value": 20, "per_unit_amount": "1", "flat_amount": "3"},
    {"from_value": 21, "to_value": None, "per_unit_amount": "0.5", "flat_amount": "0"},
]


def priced(api: Api, model: str, properties: dict[str, Any], *values: Any, aggregation: str = "sum_agg") -> int:
    """Return the cents that values cost."""
    make_plan(api, charge(make_metric(api, aggregation=aggregation), model, properties=properties))
    subscribe(api, subscription_at="2026-05-01T00:00:00Z")
    send(api, *values, at=AT)
    cents: int = charge_usage(api)["amount_cents"]
    return cents


@pytest.mark.parametrize(
    ("values", "cents"),
    [(["3"], 45), (["0.1"], 2), (["0.03"], 0), (["0.0334"], 1), (["-3"], 0)],
)
def test_standard_multiplies_and_rounds_halves_up(timed: Api, values: list[str], cents: int) -> None:
    assert priced(timed, "standard", {"amount": "0.15"}, *values) == cents


@pytest.mark.parametrize(
    ("values", "cents"),
    [([], 0), (["100"], 0), (["100.5"], 250), (["1100"], 250), (["1101"], 500), (["-1"], 0)],
)
def test_package_counts_each_package_begun_after_the_free_units(timed: Api, values: list[str], cents: int) -> None:
    properties = {"amount": "2.5", "free_units": 100, "package_size": 1000}
    assert priced(timed, "package", properties, *values) == cents


@pytest.mark.parametrize(
    ("properties", "cents"),
    [
        ({"rate": "10"}, 6000),
        ({"rate": "10", "fixed_amount": "2"}, 6000 + 600),
        ({"rate": "10", "free_units_per_events": 2}, 3000),
        ({"rate": "10", "free_units_per_events": 2, "fixed_amount": "2"}, 3000 + 200),
        ({"rate": "10", "free_units_per_total_aggregation": "250"}, 3500),
        ({"rate": "10", "free_units_per_total_aggregation": "250", "fixed_amount": "2"}, 3500 + 400),
        ({"rate": "10", "free_units_per_total_aggregation": "1000"}, 0),
        ({"rate": "10", "free_units_per_events": 2, "free_units_per_total_aggregation": "150"}, 4500),
    ],
)
def test_percentage_takes_a_share_and_a_fixed_amount_per_event(
    timed: Api, properties: dict[str, Any], cents: int
) -> None:
    assert priced(timed, "percentage", properties, "100", "200", "300") == cents


def test_percentage_of_a_count_has_free_events_too(timed: Api) -> None:
    properties = {"rate": "100", "fixed_amount": "1", "free_units_per_events": 1}
    assert priced(timed, "percentage", properties, 1, 1, 1, aggregation="count_agg") == 200 + 200


@pytest.mark.parametrize(
    ("values", "cents"),
    [([], 0), (["4"], 900), (["10"], 2100), (["10.5"], 2100 + 350), (["20"], 2100 + 1300), (["22"], 3400 + 100)],
)
def test_graduated_prices_each_range_by_itself(timed: Api, values: list[str], cents: int) -> None:
    assert priced(timed, "graduated", {"graduated_ranges": RANGES}, *values) == cents


@pytest.mark.parametrize(
    ("values", "cents"), [([], 100), (["10"], 2100), (["10.5"], 1350), (["20"], 2300), (["22"], 1100)]
)
def test_volume_prices_all_by_the_range_reached_and_its_flat_amount_even_for_none(
    timed: Api, values: list[str], cents: int
) -> None:
    assert priced(timed, "volume", {"volume_ranges": RANGES}, *values) == cents


def test_dynamic_bills_what_the_events_say_they_cost(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed), "dynamic"))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")

    def event(name: str, value: Any, cents: Any) -> dict[str, Any]:
        fields = {"transaction_id": name, "external_subscription_id": "sub", "code": "tokens", "timestamp": 1778839200}
        return fields | {"properties": {"value": value}, "precise_total_amount_cents": cents}

    timed.send(event("a", "10", "901.5"), event("b", 10, "0.6"), event("no number", "x", "100"))
    counted = charge_usage(timed)
    assert (counted["units"], counted["events_count"], counted["amount_cents"]) == ("20.0", 2, 902)
    timed.send(event("back", "-20", "50"))
    assert charge_usage(timed)["amount_cents"] == 0  # without units there is no amount


def test_dynamic_needs_a_sum(timed: Api) -> None:
    refused = post_plan(timed, charge(make_metric(timed, aggregation="count_agg"), "dynamic"))
    assert refused.json() == invalid({"charge_model": ["invalid_aggregation_type_or_charge_model"]})


@pytest.mark.parametrize(
    ("model", "properties", "codes"),
    [
        ("standard", {"amount": 1}, ["invalid_amount"]),
        ("standard", {"amount": "-1"}, ["invalid_amount"]),
        ("standard", {"amount": "1", "pricing_group_keys": "model"}, ["invalid_type"]),
        ("package", {"amount": "1"}, ["invalid_free_units", "invalid_package_size"]),
        ("package", {"amount": 1.5, "free_units": 0, "package_size": 0}, ["invalid_amount", "invalid_package_size"]),
        ("percentage", {"rate": 10}, ["invalid_rate"]),
        ("percentage", {"rate": "1", "fixed_amount": 2}, ["invalid_fixed_amount"]),
        ("percentage", {"rate": "1", "free_units_per_events": 0}, ["invalid_free_units_per_events"]),
        ("graduated", {"graduated_ranges": []}, ["missing_graduated_ranges"]),
        ("graduated", {"graduated_ranges": RANGES[1:]}, ["invalid_graduated_ranges"]),
        ("graduated", {"graduated_ranges": RANGES[:2]}, ["invalid_graduated_ranges"]),
        ("volume", {"volume_ranges": [RANGES[2] | {"from_value": 0, "flat_amount": 1}]}, ["invalid_amount"]),
        ("volume", {"amount": "1"}, ["missing_volume_ranges"]),
    ],
)
def test_properties_are_checked(timed: Api, model: str, properties: dict[str, Any], codes: list[str]) -> None:
    refused = post_plan(timed, charge(make_metric(timed), model, properties=properties))
    assert (refused.status_code, refused.json()) == (422, invalid({"properties": codes}))


def test_without_properties_there_are_defaults_and_foreign_ones_are_dropped(timed: Api) -> None:
    metric = make_metric(timed)
    given = {"standard": {}, "package": {}, "percentage": {"rate": "5", "amount": "1"}, "volume": {}}
    plan = make_plan(timed, *(charge(metric, model, properties=properties) for model, properties in given.items()))
    one_range = {"from_value": 0, "to_value": None, "per_unit_amount": "0", "flat_amount": "0"}
    assert {made["charge_model"]: made["properties"] for made in plan["charges"]} == {
        "standard": {"amount": "0"},
        "package": {"amount": "0", "free_units": 0, "package_size": 1},
        "percentage": {"rate": "5"},
        "volume": {"volume_ranges": [one_range]},
    }


@pytest.mark.parametrize("model", ["graduated_percentage", "custom"])
def test_models_that_are_not_here_are_said_to_be(timed: Api, model: str) -> None:
    refused = post_plan(timed, charge(make_metric(timed), model))
    assert (refused.status_code, refused.json()["code"]) == (501, "not_in_sandbox")


def test_an_unknown_model_is_invalid(timed: Api) -> None:
    assert post_plan(timed, charge(make_metric(timed), "cheap")).json() == invalid(
        {"charge_model": ["value_is_invalid"]}
    )


@pytest.mark.parametrize(("currency", "cents"), [("USD", 123), ("JPY", 1), ("KWD", 1235)])
def test_an_amount_is_rounded_to_what_the_currency_has(timed: Api, currency: str, cents: int) -> None:
    make_plan(timed, charge(make_metric(timed), properties={"amount": "1.2345"}), amount_currency=currency)
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at=AT)
    assert charge_usage(timed)["amount_cents"] == cents
