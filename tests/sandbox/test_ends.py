"""The end of a subscription by `DELETE`: its invoice is made at once, unless it is told to be skipped."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, invoices, make_metric, make_plan, past_usage, send, subscribe


@pytest.fixture
def subscribed(timed: Api) -> Api:
    """A subscription since May with 1 unit in it, at a dollar each."""
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-10T00:00:00Z")
    return timed


def end(api: Api, **options: Any) -> dict[str, Any]:
    ended: dict[str, Any] = api.client.request("DELETE", "subscriptions/sub", **options).json()["subscription"]
    return ended


def test_it_is_invoiced_at_once(subscribed: Api, clock: Clock) -> None:
    ended = end(subscribed)
    assert (ended["status"], ended["terminated_at"]) == ("terminated", "2026-05-15T12:00:00Z")
    (invoice,) = invoices(subscribed)
    assert (invoice["status"], invoice["total_amount_cents"]) == ("finalized", 100)
    assert invoice["created_at"] == "2026-05-15T12:00:00Z"
    (period,) = past_usage(subscribed)
    assert (period["from_datetime"], period["to_datetime"]) == ("2026-05-01T00:00:00Z", "2026-05-15T12:00:00Z")


def test_usage_from_before_it_that_comes_later_is_billed_nowhere(subscribed: Api, clock: Clock) -> None:
    end(subscribed)
    send(subscribed, 10, at="2026-05-15T11:30:00Z")
    usage = subscribed.get("customers/acme/current_usage", external_subscription_id="sub")
    assert (usage.status_code, usage.json()["code"]) == (405, "no_active_subscription")
    clock.put("2026-07-01T01:00:00Z")
    assert [one["total_amount_cents"] for one in invoices(subscribed)] == [100]


def test_only_who_asks_for_the_terminated_one_is_shown_it(subscribed: Api) -> None:
    end(subscribed)
    assert subscribed.get("subscriptions/sub").json()["code"] == "subscription_not_found"
    assert subscribed.get("subscriptions").json()["subscriptions"] == []
    shown = subscribed.get("subscriptions/sub", status="terminated").json()["subscription"]
    assert (shown["plan_code"], shown["next_plan_code"], shown["ending_at"]) == ("p", None, None)


@pytest.mark.parametrize(
    "options",
    [{"params": {"on_termination_invoice": "skip"}}, {"json": {"on_termination_invoice": "skip"}}],
    ids=["in the query", "in the body"],
)
def test_its_invoice_can_be_skipped(subscribed: Api, clock: Clock, options: dict[str, Any]) -> None:
    assert end(subscribed, **options)["on_termination_invoice"] == "skip"
    clock.put("2026-07-01T01:00:00Z")
    assert invoices(subscribed) == []


def test_one_that_is_told_beforehand_to_skip_its_invoice_does(subscribed: Api, clock: Clock) -> None:
    subscribed.client.put("subscriptions/sub", json={"subscription": {"on_termination_invoice": "skip"}})
    assert end(subscribed)["on_termination_invoice"] == "skip"
    clock.put("2026-07-01T01:00:00Z")
    assert invoices(subscribed) == []


def test_another_way_to_invoice_it_is_refused(subscribed: Api) -> None:
    response = subscribed.client.delete("subscriptions/sub?on_termination_invoice=later")
    assert response.json() == invalid({"on_termination_invoice": ["invalid_value"]})
    assert subscribed.get("subscriptions/sub").json()["subscription"]["on_termination_invoice"] == "generate"
