"""What each aggregation makes of events."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, send, subscribe, units

AT = "2026-05-15T10:00:00Z"


def counted(api: Api, aggregation: str, *values: Any, **fields: Any) -> tuple[str, int]:
    """Return units and events count of values that came one after the other."""
    make_plan(api, charge(make_metric(api, aggregation=aggregation, **fields)))
    subscribe(api, subscription_at="2026-05-01T00:00:00Z")
    send(api, *values, at=AT)
    usage = charge_usage(api)
    return usage["units"], usage["events_count"]


@pytest.mark.parametrize(
    ("aggregation", "values", "expected"),
    [
        ("count_agg", [1, "x", ...], ("3.0", 3)),
        ("sum_agg", [1, "2.5", "x", ...], ("3.5", 2)),
        ("max_agg", [3, "12", "x", 7], ("12.0", 3)),
        ("max_agg", [], ("0.0", 0)),
        ("latest_agg", [3, "12", "7", "x"], ("7.0", 3)),
        ("latest_agg", [3, "-1"], ("0.0", 2)),
        ("unique_count_agg", ["a", "b", "a", 1, "1"], ("3.0", 3)),
    ],
)
def test_aggregations(timed: Api, aggregation: str, values: list[Any], expected: tuple[str, int]) -> None:
    assert counted(timed, aggregation, *values) == expected


def test_a_unique_value_can_be_removed_and_added_again(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed, aggregation="unique_count_agg")))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, "a", "b", at="2026-05-15T10:00:00Z")
    send(timed, "a", "c", at="2026-05-15T10:01:00Z", operation_type="remove")
    assert units(timed) == "1.0"
    send(timed, "a", at="2026-05-15T10:02:00Z", operation_type="add")
    assert units(timed) == "2.0"


@pytest.mark.parametrize(
    ("function", "precision", "expected"),
    [("round", 0, "13.0"), ("round", 1, "12.5"), ("ceil", 1, "12.6"), ("floor", None, "12.0"), ("ceil", -1, "20.0")],
)
def test_units_are_rounded_as_the_metric_says(timed: Api, function: str, precision: int | None, expected: str) -> None:
    fields = {"rounding_function": function, "rounding_precision": precision}
    assert counted(timed, "sum_agg", "12.51", "0.03", **fields)[0] == expected


def test_a_weighted_sum_is_the_average_over_the_period(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed, aggregation="weighted_sum_agg")))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 31, at="2026-05-11T00:00:00Z")  # for 21 of 31 days
    send(timed, -31, at="2026-05-14T00:00:00Z")  # so for 3 of them
    usage = charge_usage(timed)
    assert (usage["units"], usage["total_aggregated_units"], usage["events_count"]) == ("3.0", "0.0", 2)


def test_a_weighted_sum_is_rounded_up_at_20_places(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed, aggregation="weighted_sum_agg")))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-31T00:00:00Z")
    assert units(timed) == "0.03225806451612903226"


def test_what_an_event_means_depends_on_its_time_not_on_its_arrival(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed, aggregation="latest_agg")))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 5, at="2026-05-15T10:00:00Z")
    send(timed, 4, at="2026-05-15T09:00:00Z")
    assert units(timed) == "5.0"


def test_recurring_sums_and_unique_counts_ignore_the_start(timed: Api) -> None:
    metrics = [
        make_metric(timed, "recurring_sum", recurring=True),
        make_metric(timed, "recurring_unique", "unique_count_agg", recurring=True),
        make_metric(timed, "plain"),
    ]
    make_plan(timed, *map(charge, metrics))
    subscribe(timed, subscription_at="2026-05-10T00:00:00Z")
    for metric in metrics:
        send(timed, 1, at="2026-04-10T00:00:00Z", code=metric["code"])
        send(timed, 2, at="2026-05-12T00:00:00Z", code=metric["code"])
    answer = timed.get("customers/acme/current_usage", external_subscription_id="sub").json()["customer_usage"]
    counted = {one["billable_metric"]["code"]: one["units"] for one in answer["charges_usage"]}
    assert counted == {"recurring_sum": "3.0", "recurring_unique": "2.0", "plain": "2.0"}
