"""A worker with a backlog: what becomes due is invoiced late, and usage that comes meanwhile is in the invoice.

It has one if it is paused, or if events cost it time and many came before.
"""

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, invoices, make_metric, make_plan, past_usage, send, subscribe, units


@pytest.fixture
def subscribed(timed: Api) -> Api:
    """A subscription since May with 1 unit in it, at a dollar each, and a plan to upgrade to."""
    metric = make_metric(timed)
    make_plan(timed, charge(metric))
    make_plan(timed, charge(metric), code="better")
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-10T00:00:00Z")
    return timed


def test_an_upgrade_is_done_and_not_invoiced_until_it_is_let_go(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.biller(paused=True)
    assert subscribe(subscribed, plan_code="better")["status"] == "active"
    clock.forward(minutes=20)
    send(subscribed, 10, at="2026-05-15T11:59:00Z")
    assert invoices(subscribed) == past_usage(subscribed) == []
    subscribed.lago.biller(paused=False)
    (invoice,) = invoices(subscribed)
    assert (invoice["status"], invoice["total_amount_cents"]) == ("finalized", 1100)
    assert past_usage(subscribed)[0]["to_datetime"] == "2026-05-15T12:00:00Z"


def test_an_end_is_done_and_not_invoiced_until_it_is_let_go(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.biller(paused=True)
    subscribed.client.delete("subscriptions/sub")
    clock.forward(minutes=1)
    send(subscribed, 9, at="2026-05-15T11:59:00Z")
    send(subscribed, 1, at="2026-05-15T12:00:00Z")
    send(subscribed, 100, at="2026-05-15T12:00:01Z")
    assert invoices(subscribed) == []
    subscribed.lago.biller(paused=False)
    assert [one["total_amount_cents"] for one in invoices(subscribed)] == [1100]


def test_a_period_that_is_over_is_not_invoiced_until_it_is_let_go(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.biller(paused=True)
    clock.put("2026-06-01T03:00:00Z")
    send(subscribed, 10, at="2026-05-31T23:59:59Z")
    assert invoices(subscribed) == []
    subscribed.lago.biller(paused=False)
    (invoice,) = invoices(subscribed)
    assert (invoice["issuing_date"], invoice["total_amount_cents"]) == ("2026-06-01", 1100)


def test_an_invoice_of_a_backlog_is_made_when_it_is_let_go(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.biller(paused=True)
    clock.put("2026-06-01T03:00:00Z")
    subscribed.lago.biller(paused=False)
    clock.put("2026-06-01T04:00:00Z")
    assert [one["created_at"] for one in invoices(subscribed)] == ["2026-06-01T03:00:00Z"]
    clock.put("2026-07-01T04:00:00Z")
    assert invoices(subscribed)[0]["created_at"] == "2026-07-01T00:10:00Z"


def test_what_was_due_before_is_done_at_its_time(subscribed: Api, clock: Clock) -> None:
    subscribed.client.delete("subscriptions/sub")
    subscribed.lago.biller(paused=True)
    send(subscribed, 10, at="2026-05-15T11:59:00Z")
    assert [one["total_amount_cents"] for one in invoices(subscribed)] == [100]


def test_one_invoice_can_be_made_out_of_turn(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.biller(paused=True)
    subscribed.client.delete("subscriptions/sub")
    clock.forward(minutes=5)
    (made,) = subscribed.lago.bill()
    (invoice,) = invoices(subscribed)
    assert (invoice["lago_id"], invoice["created_at"]) == (made, "2026-05-15T12:05:00Z")


def test_events_that_cost_the_worker_time_delay_the_invoices_behind_them(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.worker(seconds=30)
    send(subscribed, 10, 100, at="2026-05-15T11:58:00Z")  # a minute's work
    subscribed.client.delete("subscriptions/sub")
    clock.forward(seconds=59)
    send(subscribed, 1000, at="2026-05-15T11:59:00Z")  # behind the end
    assert invoices(subscribed) == []
    clock.forward(seconds=1)
    (invoice,) = invoices(subscribed)
    assert (invoice["total_amount_cents"], invoice["created_at"]) == (111_100, "2026-05-15T12:01:00Z")
    assert past_usage(subscribed)[0]["to_datetime"] == "2026-05-15T12:00:00Z"


def test_what_was_due_before_its_backlog_came_is_done_at_its_time(subscribed: Api, clock: Clock) -> None:
    subscribed.lago.worker(seconds=3600)
    subscribed.client.delete("subscriptions/sub")
    send(subscribed, 10, at="2026-05-15T11:58:00Z")
    assert [one["total_amount_cents"] for one in invoices(subscribed)] == [100]


def test_cached_usage_is_stale_until_the_worker_gets_to_what_outdates_it(subscribed: Api, clock: Clock) -> None:
    assert units(subscribed) == "1.0"
    subscribed.lago.worker(seconds=2)
    send(subscribed, 10, 100, at="2026-05-15T11:58:00Z")
    clock.forward(seconds=1)
    assert units(subscribed) == "1.0"
    clock.forward(seconds=1)
    assert units(subscribed) == "111.0"
