"""Billing periods follow the plan's interval, the billing time and the customer's time zone."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from reconciler.sandbox.grammar import format_instant, parse_iso
from reconciler.sandbox.schedule.periods import Schedule
from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, make_metric, make_plan, send, subscribe, units, usage


def period(schedule: Schedule, day: str) -> tuple[str, str]:
    holding = schedule.holding(parse_iso(day))
    return format_instant(holding.start), format_instant(holding.end)


@pytest.mark.parametrize(
    ("interval", "anchor", "day", "first", "last"),
    [
        ("weekly", None, "2026-05-15", "2026-05-11", "2026-05-17"),
        ("monthly", None, "2026-02-28", "2026-02-01", "2026-02-28"),
        ("quarterly", None, "2026-05-15", "2026-04-01", "2026-06-30"),
        ("semiannual", None, "2026-07-01", "2026-07-01", "2026-12-31"),
        ("yearly", None, "2028-02-29", "2028-01-01", "2028-12-31"),
        ("weekly", "2026-01-01", "2026-05-15", "2026-05-14", "2026-05-20"),
        ("monthly", "2026-01-10", "2026-05-09", "2026-04-10", "2026-05-09"),
        ("monthly", "2026-01-31", "2026-02-28", "2026-02-28", "2026-03-30"),
        ("monthly", "2026-01-31", "2026-02-27", "2026-01-31", "2026-02-27"),
        ("quarterly", "2026-01-15", "2026-01-14", "2025-10-15", "2026-01-14"),
        ("quarterly", "2026-11-30", "2027-02-28", "2027-02-28", "2027-05-29"),
        ("semiannual", "2026-08-31", "2027-03-01", "2027-02-28", "2027-08-30"),
        ("yearly", "2024-02-29", "2026-02-28", "2026-02-28", "2027-02-27"),
        ("yearly", "2025-06-15", "2026-06-14", "2025-06-15", "2026-06-14"),
    ],
)
def test_intervals(interval: str, anchor: str | None, day: str, first: str, last: str) -> None:
    anchored = date.fromisoformat(anchor) if anchor else None
    schedule = Schedule(interval, anchored, ZoneInfo("UTC"))
    assert period(schedule, day) == (f"{first}T00:00:00Z", f"{last}T23:59:59Z")


@pytest.mark.parametrize("anchor", [None, date(2026, 1, 31)])
@pytest.mark.parametrize("interval", ["weekly", "monthly", "quarterly", "semiannual", "yearly"])
def test_one_period_begins_where_the_other_ends(interval: str, anchor: date | None) -> None:
    schedule = Schedule(interval, anchor, ZoneInfo("America/New_York"))
    holding = schedule.holding(parse_iso("2026-01-01"))
    for _ in range(60):
        following = schedule.holding(holding.end + 1)
        assert following.start == holding.end + 1
        assert schedule.holding(following.start) == schedule.holding(following.end) == following
        holding = following


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("America/New_York", "2026-05-01T04:00:00Z", "2026-06-01T03:59:59Z"),
        ("Asia/Kolkata", "2026-04-30T18:30:00Z", "2026-05-31T18:29:59Z"),
        ("Pacific/Auckland", "2026-04-30T12:00:00Z", "2026-05-31T11:59:59Z"),
    ],
)
def test_a_customers_months_are_those_of_its_time_zone(timed: Api, zone: str, start: str, end: str) -> None:
    make_plan(timed, charge(make_metric(timed)))
    timed.post("customers", {"customer": {"external_id": "acme", "timezone": zone}})
    made = subscribe(timed, subscription_at="2026-01-01T00:00:00Z")
    assert made["current_billing_period_started_at"] == usage(timed)["from_datetime"] == start
    assert made["current_billing_period_ending_at"] == usage(timed)["to_datetime"] == end
    send(timed, 1, at=start)
    send(timed, 100, at=end)
    send(timed, 1000, at="2026-04-30T11:59:59Z")
    assert units(timed) == "101.0"


def test_an_anniversary_is_reckoned_in_the_customers_time_zone(timed: Api) -> None:
    make_plan(timed)
    timed.post("customers", {"customer": {"external_id": "acme", "timezone": "America/New_York"}})
    made = subscribe(timed, billing_time="anniversary", subscription_at="2026-03-11T03:00:00Z")  # the 10th there
    assert made["billing_time"] == "anniversary"
    assert made["current_billing_period_started_at"] == "2026-05-10T04:00:00Z"
    assert made["current_billing_period_ending_at"] == "2026-06-10T03:59:59Z"


def test_an_organizations_time_zone_holds_for_customers_without_one(timed: Api) -> None:
    make_plan(timed)
    subscribe(timed, subscription_at="2026-01-01T00:00:00Z")
    body = {"organization": {"timezone": "Europe/Paris"}}
    assert timed.client.put("organizations", json=body).json()["organization"]["timezone"] == "Europe/Paris"
    made = timed.get("subscriptions/sub").json()["subscription"]
    assert made["current_billing_period_started_at"] == "2026-04-30T22:00:00Z"
    assert timed.get("customers/acme").json()["customer"]["applicable_timezone"] == "Europe/Paris"


def test_the_first_period_begins_with_the_subscription_to_the_millisecond(timed: Api, clock: Clock) -> None:
    clock.put("2026-05-15T12:00:00.123456Z")
    make_plan(timed, charge(make_metric(timed)))
    made = subscribe(timed)
    assert made["started_at"] == "2026-05-15T12:00:00.123Z"
    assert made["current_billing_period_started_at"] == "2026-05-15T12:00:00Z"
    for value, at in (1, "12:00:00.123"), (10, "12:00:00.122"), (100, "12:00:00"):
        send(timed, value, at=f"2026-05-15T{at}Z")
    assert units(timed) == "1.0"  # whole seconds of the same second are too early


def test_the_future_counts_if_it_is_in_the_period(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-31T23:59:59Z")
    send(timed, 10, at="2026-06-01T00:00:00Z")
    assert units(timed) == "1.0"
