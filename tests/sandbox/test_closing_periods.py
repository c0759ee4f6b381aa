"""When periods close, what is billed then, and what is never billed."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, invoices, make_metric, make_plan, past_usage, send, subscribe, units


@pytest.fixture
def subscribed(timed: Api) -> Api:
    """A subscription since May with 1 unit in it, at a dollar each."""
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-10T00:00:00Z")
    return timed


def billed(api: Api) -> list[tuple[str, str, str, int]]:
    return [
        (
            one["from_datetime"][:10],
            one["to_datetime"][:10],
            "".join(charge["units"] for charge in one["charges_usage"]),
            one["amount_cents"],
        )
        for one in past_usage(api)
    ]


def show(api: Api, invoice: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"invoices/{invoice['lago_id']}").json()["invoice"]
    return shown


def test_a_period_is_billed_ten_minutes_after_its_end(subscribed: Api, clock: Clock) -> None:
    clock.put("2026-06-01T00:09:59Z")
    assert billed(subscribed) == []
    send(subscribed, 10, at="2026-05-31T23:59:59Z")  # late, and in time
    clock.put("2026-06-01T00:10:00Z")
    assert billed(subscribed) == [("2026-05-01", "2026-05-31", "11.0", 1100)]
    (invoice,) = invoices(subscribed)
    assert (invoice["status"], invoice["issuing_date"], invoice["created_at"]) == (
        "finalized",
        "2026-06-01",
        "2026-06-01T00:10:00Z",
    )


def test_what_comes_later_is_taken_and_never_billed(subscribed: Api, clock: Clock) -> None:
    clock.put("2026-06-01T00:10:00Z")
    send(subscribed, 10, at="2026-05-31T23:59:59Z")
    send(subscribed, 100, at="2026-06-01T00:00:00Z")
    assert units(subscribed) == "100.0"
    clock.put("2026-07-01T00:10:00Z")
    assert billed(subscribed) == [
        ("2026-06-01", "2026-06-30", "100.0", 10_000),
        ("2026-05-01", "2026-05-31", "1.0", 100),
    ]


def test_a_recurring_metric_makes_up_for_it_in_the_next_period(timed: Api, clock: Clock) -> None:
    make_plan(timed, charge(make_metric(timed, recurring=True)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-10T00:00:00Z")
    clock.put("2026-06-01T00:10:00Z")
    send(timed, 10, at="2026-05-20T00:00:00Z")
    clock.put("2026-07-01T00:10:00Z")
    assert [units for _, _, units, _ in billed(timed)] == ["11.0", "1.0"]


def test_a_recurring_weighted_sum_goes_on_from_where_it_was(timed: Api, clock: Clock) -> None:
    metric = make_metric(timed, aggregation="weighted_sum_agg", recurring=True)
    keys = {"amount": "1", "pricing_group_keys": ["region"]}
    make_plan(timed, charge(metric, properties=keys))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 31, at="2026-05-31T00:00:00Z", region="eu")
    clock.put("2026-06-01T00:10:00Z")
    assert [units for _, _, units, _ in billed(timed)] == ["1.0"]
    send(timed, 30, at="2026-06-16T00:00:00Z", region="us")
    clock.put("2026-06-20T00:00:00Z")
    usage = timed.get("customers/acme/current_usage", external_subscription_id="sub").json()["customer_usage"]
    groups = [
        (one["grouped_by"]["region"], one["units"], one["total_aggregated_units"])
        for one in usage["charges_usage"][0]["grouped_usage"]
    ]
    assert groups == [("eu", "31.0", "31.0"), ("us", "15.0", "30.0")]


def test_the_customers_midnight_counts(timed: Api, clock: Clock) -> None:
    make_plan(timed, charge(make_metric(timed)))
    timed.post("customers", {"customer": {"external_id": "acme", "timezone": "Asia/Kolkata"}})
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    clock.put("2026-05-31T19:09:59Z")  # 00:39:59 there; the job runs at ten past UTC's hours
    assert invoices(timed) == []
    clock.put("2026-05-31T19:10:00Z")
    (invoice,) = invoices(timed)
    assert invoice["issuing_date"] == "2026-06-01"


@pytest.mark.parametrize(
    ("zone", "billing", "start"),
    [
        ("America/New_York", "2026-07-01T04:10:00Z", "2026-06-01T00:00:00Z"),
        ("Asia/Tokyo", "2026-06-30T15:10:00Z", "2026-06-01T00:00:00Z"),
    ],
)
def test_another_time_zone_makes_neither_gap_nor_overlap(
    subscribed: Api, clock: Clock, zone: str, billing: str, start: str
) -> None:
    clock.put("2026-06-01T00:10:00Z")
    assert len(invoices(subscribed)) == 1
    subscribed.post("customers", {"customer": {"external_id": "acme", "timezone": zone}})
    send(subscribed, 10, at="2026-06-01T00:00:00Z")
    send(subscribed, 100, at="2026-05-31T23:59:59Z")
    assert units(subscribed) == "10.0"
    clock.put("2026-06-15T00:00:00Z")
    assert (len(invoices(subscribed)), units(subscribed)) == (1, "10.0")
    clock.put(billing)
    assert (past_usage(subscribed)[0]["from_datetime"], billed(subscribed)[0][2]) == (start, "10.0")
    assert len(invoices(subscribed)) == 2


def test_many_periods_are_caught_up_in_order(subscribed: Api, clock: Clock) -> None:
    send(subscribed, 2, 3, at="2026-07-04T00:00:00Z")
    clock.put("2026-09-15T00:00:00Z")
    assert [(start, units) for start, _, units, _ in billed(subscribed)] == [
        ("2026-08-01", ""),
        ("2026-07-01", "5.0"),
        ("2026-06-01", ""),
        ("2026-05-01", "1.0"),
    ]
    numbers = [invoice["number"][-3:] for invoice in invoices(subscribed)]
    assert numbers == ["004", "003", "002", "001"]


def test_months_before_the_subscription_was_made_are_in_no_invoice(timed: Api, clock: Clock) -> None:
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-02-10T00:00:00Z")
    send(timed, 1, at="2026-03-10T00:00:00Z")
    clock.put("2026-06-01T00:10:00Z")
    assert [start for start, *_ in billed(timed)] == ["2026-05-01"]


def test_made_on_a_billing_day_it_is_billed_that_day(timed: Api, clock: Clock) -> None:
    make_plan(timed, charge(make_metric(timed)))
    clock.put("2026-06-01T09:00:00Z")
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    clock.put("2026-06-01T09:10:00Z")
    assert [start for start, *_ in billed(timed)] == ["2026-05-01"]


def test_weeks_and_anniversaries_close_too(timed: Api, clock: Clock) -> None:
    make_plan(timed, charge(make_metric(timed)), interval="weekly")
    subscribe(timed, billing_time="anniversary", subscription_at="2026-05-13T08:00:00Z")
    clock.put("2026-05-27T00:10:00Z")
    assert [(start, end) for start, end, *_ in billed(timed)] == [
        ("2026-05-20", "2026-05-26"),
        ("2026-05-13", "2026-05-19"),
    ]


def test_one_customers_subscriptions_are_on_one_invoice(subscribed: Api, clock: Clock) -> None:
    subscribe(subscribed, "second", subscription_at="2026-05-01T00:00:00Z")
    subscribe(subscribed, "other", external_customer_id="rival", subscription_at="2026-05-01T00:00:00Z")
    send(subscribed, 10, at="2026-05-10T00:00:00Z", subscription="second")
    clock.put("2026-06-01T00:10:00Z")
    mine, other = sorted(invoices(subscribed), key=lambda one: -one["total_amount_cents"])
    assert (mine["total_amount_cents"], other["total_amount_cents"]) == (1100, 0)
    assert sorted(one["external_id"] for one in show(subscribed, mine)["subscriptions"]) == ["second", "sub"]
    assert other["payment_status"] == "succeeded"
    assert [one["units"] for one in past_usage(subscribed, "second")[0]["charges_usage"]] == ["10.0"]


# -- ends


def test_ended_between_midnight_and_billing_only_the_month_before_is_billed(subscribed: Api, clock: Clock) -> None:
    clock.put("2026-06-01T00:05:00Z")
    send(subscribed, 10, at="2026-06-01T00:01:00Z")
    subscribed.client.delete("subscriptions/sub")
    clock.put("2026-06-01T00:30:00Z")
    assert billed(subscribed) == [("2026-05-01", "2026-05-31", "1.0", 100)]


def test_a_replaced_plan_is_billed_to_the_change(subscribed: Api, clock: Clock) -> None:
    make_plan(subscribed, charge(subscribed.get("billable_metrics/tokens").json()["billable_metric"]), code="q")
    subscribe(subscribed, plan_code="q")
    send(subscribed, 10, at="2026-05-15T12:00:02Z")
    assert billed(subscribed) == [("2026-05-01", "2026-05-15", "1.0", 100)]
    clock.put("2026-06-01T00:10:00Z")
    assert billed(subscribed)[0] == ("2026-05-15", "2026-05-31", "10.0", 1000)


def test_a_cheaper_plan_is_billed_from_its_own_start(timed: Api, clock: Clock) -> None:
    metric = make_metric(timed)
    make_plan(timed, charge(metric), amount_cents=1000)
    make_plan(timed, charge(metric), code="cheaper")
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    subscribe(timed, plan_code="cheaper")
    send(timed, 1, at="2026-05-31T23:00:00Z")
    clock.put("2026-06-01T00:10:00Z")
    send(timed, 10, at="2026-06-01T00:10:00Z")
    clock.put("2026-07-01T00:10:00Z")
    assert billed(timed) == [("2026-06-01", "2026-06-30", "10.0", 1000), ("2026-05-01", "2026-05-31", "1.0", 1100)]


def test_a_new_start_is_not_before_what_was_billed_to_the_end(subscribed: Api, clock: Clock) -> None:
    subscribed.client.delete("subscriptions/sub")
    clock.forward(hours=1)
    again = subscribe(subscribed, subscription_at="2026-05-01T00:00:00Z")
    assert (again["started_at"], again["subscription_at"]) == ("2026-05-15T12:00:00.000Z", "2026-05-01T00:00:00Z")
    assert units(subscribed) == "0.0"


# -- the plan's own amount


def test_the_plans_amount_is_billed_by_the_day(timed: Api, clock: Clock) -> None:
    make_plan(timed, amount_cents=3100)
    subscribe(timed, "whole", subscription_at="2026-05-01T00:00:00Z")
    subscribe(timed, "part", subscription_at="2026-05-22T13:00:00Z")
    clock.put("2026-06-01T00:10:00Z")
    fees = timed.get("fees", fee_type="subscription").json()["fees"]
    assert {fee["external_subscription_id"]: fee["amount_cents"] for fee in fees} == {"whole": 3100, "part": 1000}
    assert fees[0]["item"] | {"lago_item_id": ""} == {
        "type": "subscription",
        "code": "p",
        "name": "P",
        "description": None,
        "invoice_display_name": "P",
        "filters": None,
        "filter_invoice_display_name": None,
        "lago_item_id": "",
        "item_type": "Subscription",
        "grouped_by": {},
    }


# -- the control API


def test_billing_can_be_paused(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.biller(paused=True)
    clock.put("2026-06-01T09:00:00Z")
    send(subscribed, 10, at="2026-05-20T00:00:00Z")
    assert invoices(subscribed) == []
    subscribed.lago.biller(paused=False)
    assert billed(subscribed) == [("2026-05-01", "2026-05-31", "11.0", 1100)]


def test_billing_can_be_told_to_run_now(subscribed: Api, clock: Clock) -> None:
    assert subscribed.lago.bill() == []
    clock.put("2026-06-01T00:00:01Z")
    made = subscribed.lago.bill()
    assert [one["lago_id"] for one in invoices(subscribed)] == made
    clock.put("2026-06-01T00:10:00Z")
    assert len(invoices(subscribed)) == 1


def test_a_reset_forgets_what_was_due(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.reset()
    clock.put("2026-06-01T00:10:00Z")
    assert invoices(subscribed) == []
