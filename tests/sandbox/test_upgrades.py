"""An upgrade: the old subscription ends, the new one starts, and the old one's invoice is made, all at once."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, invoices, make_metric, make_plan, past_usage, send, subscribe, units


@pytest.fixture
def upgraded(timed: Api, clock: Clock) -> Api:
    """A subscription since May with 1 unit in it, upgraded at 11:51:26.878 on 15 May."""
    metric = make_metric(timed)
    make_plan(timed, charge(metric))
    make_plan(timed, charge(metric), code="better")
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-10T00:00:00Z")
    clock.put("2026-05-15T11:51:26.878500Z")
    subscribe(timed, plan_code="better", subscription_at="2026-04-20T00:00:00Z")
    return timed


def show(api: Api, **query: str) -> dict[str, Any]:
    shown: dict[str, Any] = api.get("subscriptions/sub", **query).json()["subscription"]
    return shown


def listed(api: Api, **query: str) -> list[tuple[str, str]]:
    found = api.get("subscriptions", **query).json()["subscriptions"]
    return [(one["external_id"], one["plan_code"]) for one in found]


def test_the_new_one_starts_at_that_moment_whatever_start_was_asked_for(upgraded: Api) -> None:
    assert show(upgraded)["started_at"] == "2026-05-15T11:51:26.878Z"
    assert show(upgraded)["subscription_at"] == "2026-05-01T00:00:00Z"


def test_the_present_period_hides_the_milliseconds_of_its_start(upgraded: Api) -> None:
    assert show(upgraded)["current_billing_period_started_at"] == "2026-05-15T11:51:26Z"
    send(upgraded, 10, at="2026-05-15T11:51:26Z")
    assert units(upgraded) == "0.0"
    send(upgraded, 100, at="2026-05-15T11:51:26.878Z")
    assert units(upgraded) == "100.0"


def test_the_old_one_is_shown_and_listed_as_terminated_in_whole_seconds(upgraded: Api) -> None:
    old = show(upgraded, status="terminated")
    assert (old["plan_code"], old["terminated_at"], old["next_plan_code"]) == ("p", "2026-05-15T11:51:26Z", "better")
    assert listed(upgraded) == [("sub", "better")]
    assert listed(upgraded, **{"status[]": "active"}) == [("sub", "better")]
    assert listed(upgraded, **{"status[]": "terminated"}) == [("sub", "p")]
    assert listed(upgraded, external_customer_id="rival") == []


def test_its_invoice_is_final_at_once(upgraded: Api) -> None:
    (invoice,) = invoices(upgraded)
    assert (invoice["status"], invoice["created_at"]) == ("finalized", "2026-05-15T11:51:26Z")
    (period,) = upgraded.get(f"invoices/{invoice['lago_id']}").json()["invoice"]["billing_periods"]
    assert period["lago_subscription_id"] == show(upgraded, status="terminated")["lago_id"]
    assert period["invoicing_reason"] == "subscription_terminating"
    assert period["charges_to_datetime"] == "2026-05-15T11:51:26Z"
    assert past_usage(upgraded)[0]["lago_invoice_id"] == invoice["lago_id"]


def test_usage_from_before_it_that_comes_later_is_billed_nowhere(upgraded: Api, clock: Clock) -> None:
    assert len(invoices(upgraded)) == 1
    send(upgraded, 10, at="2026-05-15T11:30:00Z")
    assert units(upgraded) == "0.0"
    clock.put("2026-06-01T00:10:00Z")
    assert [one["total_amount_cents"] for one in invoices(upgraded)] == [0, 100]


def test_the_list_begins_with_the_latest_start_that_was_asked_for(upgraded: Api) -> None:
    subscribe(upgraded, "later", subscription_at="2026-05-02T00:00:00Z")
    subscribe(upgraded, "earlier", subscription_at="2026-04-01T00:00:00Z")
    assert [external_id for external_id, _ in listed(upgraded)] == ["later", "sub", "earlier"]


def test_days_of_grace_make_it_a_draft(timed: Api, clock: Clock) -> None:
    metric = make_metric(timed)
    make_plan(timed, charge(metric))
    make_plan(timed, charge(metric), code="better")
    grace = {"external_id": "acme", "billing_configuration": {"invoice_grace_period": 2}}
    timed.post("customers", {"customer": grace})
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    subscribe(timed, plan_code="better")
    (draft,) = invoices(timed)
    send(timed, 10, at="2026-05-15T11:30:00Z")
    refreshed = timed.client.put(f"invoices/{draft['lago_id']}/refresh").json()["invoice"]
    assert (refreshed["status"], refreshed["total_amount_cents"]) == ("draft", 1000)


def test_it_is_billed_even_if_the_end_of_the_old_one_was_not_to_be(timed: Api) -> None:
    make_plan(timed)
    make_plan(timed, code="better")
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    skip = {"subscription": {"on_termination_invoice": "skip"}}
    assert timed.client.put("subscriptions/sub", json=skip).status_code == 200
    assert subscribe(timed, plan_code="better")["on_termination_invoice"] == "generate"
    assert len(invoices(timed)) == 1


@pytest.mark.parametrize(
    ("interval", "cents", "replaces_at_once"),
    [("monthly", 1000, True), ("monthly", 999, False), ("yearly", 12_000, True), ("yearly", 11_999, False)],
)
def test_what_is_cheaper_is_told_by_the_year(timed: Api, interval: str, cents: int, replaces_at_once: bool) -> None:
    make_plan(timed, amount_cents=1000)
    make_plan(timed, code="q", interval=interval, amount_cents=cents)
    subscribe(timed)
    assert subscribe(timed, plan_code="q")["plan_code"] == ("q" if replaces_at_once else "p")
    assert listed(timed, **{"status[]": "pending"}) == ([] if replaces_at_once else [("sub", "q")])
