"""A month's end in the customer's time zone: what is in its invoice, and what comes too late for it."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, invoices, make_metric, make_plan, past_usage, send, subscribe, units


@pytest.fixture
def fiji(timed: Api, clock: Clock) -> Api:
    """Customers in Pacific/Fiji, whose December begins at 12:00 UTC: `acme`, and `graced` with three days of grace."""
    clock.put("2026-11-20T00:00:00Z")
    make_plan(timed, charge(make_metric(timed)))
    for name, grace in (("acme", 0), ("graced", 3)):
        settings = {"timezone": "Pacific/Fiji", "billing_configuration": {"invoice_grace_period": grace}}
        timed.post("customers", {"customer": {"external_id": name, **settings}})
        subscribe(timed, name, external_customer_id=name, subscription_at="2026-10-31T12:00:00Z")
    return timed


def send_both(api: Api, value: int, at: str) -> None:
    for name in ("acme", "graced"):
        send(api, value, at=at, subscription=name)


def period(api: Api) -> tuple[str, str]:
    shown = api.get("subscriptions/acme").json()["subscription"]
    return shown["current_billing_period_started_at"], shown["current_billing_period_ending_at"]


def refreshed(api: Api, customer: str) -> dict[str, Any]:
    (invoice,) = invoices(api, external_customer_id=customer)
    done: dict[str, Any] = api.client.put(f"invoices/{invoice['lago_id']}/refresh").json()["invoice"]
    return done


def test_the_subscription_tells_the_next_period_from_its_first_second_on(fiji: Api, clock: Clock) -> None:
    clock.put("2026-11-30T11:59:59.999Z")
    assert period(fiji) == ("2026-10-31T12:00:00Z", "2026-11-30T11:59:59Z")
    clock.put("2026-11-30T12:00:00Z")
    assert period(fiji) == ("2026-11-30T12:00:00Z", "2026-12-31T11:59:59Z")


def test_what_comes_after_the_end_and_before_the_biller_is_in_the_invoice(fiji: Api, clock: Clock) -> None:
    clock.put("2026-11-30T12:05:00Z")
    send_both(fiji, 1, at="2026-11-30T11:59:59Z")
    send_both(fiji, 10, at="2026-11-30T12:00:00Z")
    clock.put("2026-11-30T12:10:00Z")
    told = {one["customer"]["external_id"]: (one["status"], one["total_amount_cents"]) for one in invoices(fiji)}
    assert told == {"acme": ("finalized", 100), "graced": ("draft", 100)}
    assert units(fiji, "acme") == "10.0"


def test_what_comes_after_the_biller_is_in_a_draft_and_in_no_final_invoice(fiji: Api, clock: Clock) -> None:
    clock.put("2026-11-30T12:10:19Z")
    assert len(invoices(fiji)) == 2
    send_both(fiji, 1, at="2026-11-30T11:59:59Z")
    assert refreshed(fiji, "acme")["total_amount_cents"] == 0
    assert refreshed(fiji, "graced")["total_amount_cents"] == 100
    assert units(fiji, "acme") == "0.0"


def test_the_end_of_grace_takes_in_what_was_late(fiji: Api, clock: Clock) -> None:
    clock.put("2026-11-30T12:10:19Z")
    (draft,) = invoices(fiji, status="draft")
    send_both(fiji, 1, at="2026-11-30T11:59:59Z")
    clock.put("2026-12-03T12:19:59Z")
    assert [one["lago_id"] for one in invoices(fiji, status="draft")] == [draft["lago_id"]]
    clock.put("2026-12-03T12:20:00Z")
    (final,) = invoices(fiji, external_customer_id="graced")
    assert (final["lago_id"], final["status"], final["total_amount_cents"]) == (draft["lago_id"], "finalized", 100)


def test_past_usage_leads_to_the_invoice_and_its_period(fiji: Api, clock: Clock) -> None:
    clock.put("2026-11-30T12:10:00Z")
    answer = fiji.get("customers/graced/past_usage", external_subscription_id="graced").json()
    (usage,) = answer["usage_periods"]
    invoice = fiji.get(f"invoices/{usage['lago_invoice_id']}").json()["invoice"]
    assert (invoice["status"], invoice["number"].endswith("-DRAFT")) == ("draft", True)
    (billed,) = invoice["billing_periods"]
    told = ("external_subscription_id", "charges_from_datetime", "charges_to_datetime", "invoicing_reason")
    assert [billed[name] for name in told] == [
        "graced",
        "2026-10-31T12:00:00Z",
        "2026-11-30T11:59:59Z",
        "subscription_periodic",
    ]


def test_before_the_biller_there_is_no_invoice_of_it(fiji: Api, clock: Clock) -> None:
    clock.put("2026-11-30T12:09:59Z")
    assert invoices(fiji) == past_usage(fiji, "acme") == []


def test_a_zone_at_a_half_hour_is_billed_forty_minutes_after_its_midnight(timed: Api, clock: Clock) -> None:
    make_plan(timed)
    timed.post("customers", {"customer": {"external_id": "acme", "timezone": "Australia/Adelaide"}})
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    clock.put("2026-05-31T15:09:59Z")  # 00:39:59 there
    assert invoices(timed) == []
    clock.put("2026-05-31T15:10:00Z")
    assert len(invoices(timed)) == 1
