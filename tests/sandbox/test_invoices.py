"""Drafts in their days of grace, final invoices, and how both are read."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, invoices, make_metric, make_plan, past_usage, send, subscribe


@pytest.fixture
def drafted(timed: Api, clock: Clock) -> Api:
    """A draft for May with 1 unit at a dollar; three days of grace, which end on 4 June."""
    make_plan(timed, charge(make_metric(timed), invoice_display_name="Words"))
    grace = {"invoice_grace_period": 3}
    timed.post("customers", {"customer": {"external_id": "acme", "billing_configuration": grace}})
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-10T00:00:00Z")
    clock.put("2026-06-01T00:10:00Z")
    return timed


def show(api: Api, do: str = "") -> dict[str, Any]:
    """Return the only invoice, after something has been done to it."""
    (invoice,) = invoices(api)
    path = f"invoices/{invoice['lago_id']}"
    response = api.client.put(f"{path}/{do}") if do else api.get(path)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()["invoice"]
    return shown


def test_with_days_of_grace_it_is_a_draft(drafted: Api) -> None:
    invoice = show(drafted)
    assert (invoice["status"], invoice["issuing_date"], invoice["total_amount_cents"]) == ("draft", "2026-06-04", 100)
    assert past_usage(drafted)[0]["lago_invoice_id"] == invoice["lago_id"]


def test_late_events_show_when_it_is_refreshed(drafted: Api) -> None:
    send(drafted, 10, at="2026-05-20T00:00:00Z")
    assert show(drafted)["total_amount_cents"] == 100
    assert show(drafted, "refresh")["total_amount_cents"] == show(drafted)["total_amount_cents"] == 1100
    assert show(drafted)["status"] == "draft"


def test_when_it_becomes_final_late_events_are_billed(drafted: Api, clock: Clock) -> None:
    send(drafted, 10, at="2026-05-20T00:00:00Z")
    clock.put("2026-06-04T00:19:59Z")
    assert show(drafted)["status"] == "draft"
    clock.put("2026-06-04T00:20:00Z")
    final = show(drafted)
    assert (final["status"], final["issuing_date"], final["total_amount_cents"]) == ("finalized", "2026-06-04", 1100)


def test_after_that_they_are_not(drafted: Api, clock: Clock) -> None:
    clock.put("2026-06-04T00:20:00Z")
    send(drafted, 10, at="2026-05-20T00:00:00Z")
    assert show(drafted, "refresh")["total_amount_cents"] == 100
    clock.put("2026-07-04T01:00:00Z")
    assert sum(one["total_amount_cents"] for one in invoices(drafted)) == 100


def test_it_can_be_made_final_before_its_time(drafted: Api, clock: Clock) -> None:
    send(drafted, 10, at="2026-05-20T00:00:00Z")
    final = show(drafted, "finalize")
    assert (final["status"], final["issuing_date"], final["total_amount_cents"]) == ("finalized", "2026-06-01", 1100)
    again = drafted.client.put(f"invoices/{final['lago_id']}/finalize")
    assert (again.status_code, again.json()["code"]) == (404, "invoice_not_found")
    clock.put("2026-06-10T00:00:00Z")
    assert show(drafted)["updated_at"] == "2026-06-01T00:10:00Z"


def test_the_organizations_grace_holds_for_customers_without_their_own(timed: Api, clock: Clock) -> None:
    make_plan(timed)
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    zero = {"external_id": "never", "billing_configuration": {"invoice_grace_period": 0}}
    timed.post("customers", {"customer": zero})
    subscribe(timed, "never", external_customer_id="never", subscription_at="2026-05-01T00:00:00Z")
    body = {"organization": {"billing_configuration": {"invoice_grace_period": 5}, "net_payment_term": 30}}
    shown = timed.client.put("organizations", json=body).json()["organization"]
    assert shown["billing_configuration"]["invoice_grace_period"] == 5
    assert timed.get("organizations").json()["organization"] == shown
    clock.put("2026-06-01T00:10:00Z")
    found = {one["customer"]["external_id"]: (one["status"], one["payment_due_date"]) for one in invoices(timed)}
    assert found == {"acme": ("draft", "2026-07-06"), "never": ("finalized", "2026-07-01")}


def test_a_deleted_customers_drafts_become_final(drafted: Api) -> None:
    send(drafted, 10, at="2026-05-20T00:00:00Z")
    drafted.client.delete("customers/acme")
    (final,) = invoices(drafted, status="finalized")
    assert (final["issuing_date"], final["total_amount_cents"]) == ("2026-06-01", 1100)


def test_a_deleted_plans_drafts_become_final(drafted: Api) -> None:
    (draft,) = invoices(drafted)
    drafted.client.delete("plans/p")
    assert drafted.get(f"invoices/{draft['lago_id']}").json()["invoice"]["status"] == "finalized"


def test_a_changed_plan_shows_in_its_drafts_within_five_minutes(drafted: Api, clock: Clock) -> None:
    (made,) = drafted.get("plans/p").json()["plan"]["charges"]
    dearer = {"id": made["lago_id"], "charge_model": "standard", "properties": {"amount": "2"}}
    clock.forward(seconds=1)
    drafted.client.put("plans/p", json={"plan": {"charges": [dearer]}})
    assert show(drafted)["total_amount_cents"] == 100
    clock.put("2026-06-01T00:15:00Z")
    changed = show(drafted)
    assert (changed["status"], changed["total_amount_cents"]) == ("draft", 200)
    drafted.client.delete("billable_metrics/tokens")
    clock.put("2026-06-01T00:20:00Z")
    assert show(drafted)["total_amount_cents"] == 0


# -- reading


def test_an_invoice_shows_its_fees_and_periods(drafted: Api) -> None:
    invoice = show(drafted)
    (fee,) = invoice["fees"]
    item = {"type": "charge", "code": "tokens", "name": "Tokens", "invoice_display_name": "Words"}
    assert {name: fee["item"][name] for name in item} == item
    told = {
        "units": "1.0",
        "events_count": 1,
        "amount_cents": 100,
        "precise_amount": "1.0",
        "precise_unit_amount": "1.0",
        "external_subscription_id": "sub",
        "external_customer_id": "acme",
        "from_date": "2026-05-01T00:00:00Z",
        "to_date": "2026-05-31T23:59:59Z",
        "lago_invoice_id": invoice["lago_id"],
    }
    assert {name: fee[name] for name in told} == told
    (period,) = invoice["billing_periods"]
    assert (period["charges_from_datetime"], period["invoicing_reason"]) == (
        "2026-05-01T00:00:00Z",
        "subscription_periodic",
    )
    assert invoice["customer"]["external_id"] == "acme"
    assert [one["external_id"] for one in invoice["subscriptions"]] == ["sub"]
    assert drafted.get(f"fees/{fee['lago_id']}").json()["fee"] == fee
    assert drafted.get("fees").json()["fees"] == [fee]


def test_the_list_can_be_narrowed(drafted: Api) -> None:
    for query, found in [
        ({"status": "draft"}, 1),
        ({"status": "finalized"}, 0),
        ({"external_customer_id": "acme"}, 1),
        ({"external_customer_id": "rival"}, 0),
        ({"issuing_date_from": "2026-06-04", "issuing_date_to": "2026-06-04"}, 1),
        ({"issuing_date_from": "2026-06-05"}, 0),
        ({"invoice_type": "credit"}, 0),
        ({"currency": "EUR"}, 0),
        ({"payment_status": "pending"}, 1),
    ]:
        assert len(invoices(drafted, **query)) == found, query
    assert drafted.get("invoices", search_term="acme").status_code == 501
    assert drafted.get("invoices/none").json()["code"] == "invoice_not_found"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"external_subscription_id": "sub"}, 1),
        ({"external_subscription_id": "other"}, 0),
        ({"external_customer_id": "acme", "fee_type": "charge"}, 1),
        ({"fee_type": "add_on"}, 0),
        ({"billable_metric_code": "calls"}, 0),
        ({"event_transaction_id": "one"}, 0),
        ({"created_at_from": "2026-06-02"}, 0),
        ({"currency": "USD", "created_at_to": "2026-06-02"}, 1),
    ],
)
def test_fees_can_be_narrowed(drafted: Api, query: dict[str, str], found: int) -> None:
    assert len(drafted.get("fees", **query).json()["fees"]) == found
    assert drafted.get("fees/none").json()["code"] == "fee_not_found"


def test_what_was_billed_stays_readable_without_its_metric(drafted: Api, clock: Clock) -> None:
    clock.put("2026-06-04T00:20:00Z")
    before = show(drafted)["fees"], past_usage(drafted)
    drafted.client.delete("billable_metrics/tokens")
    assert (show(drafted)["fees"], past_usage(drafted)) == before


# -- past usage


def test_past_usage_is_paged_and_limited(timed: Api, clock: Clock) -> None:
    make_plan(timed, charge(make_metric(timed)), charge(make_metric(timed, "calls", "count_agg")))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    for month in (5, 6, 7):
        send(timed, month, at=f"2026-0{month}-10T00:00:00Z")
        send(timed, ..., at=f"2026-0{month}-10T00:00:00Z", code="calls")
    clock.put("2026-08-01T00:10:00Z")
    assert [one["from_datetime"][:7] for one in past_usage(timed)] == ["2026-07", "2026-06", "2026-05"]
    assert [one["from_datetime"][:7] for one in past_usage(timed, periods_count=2)] == ["2026-07", "2026-06"]
    page = timed.get("customers/acme/past_usage", external_subscription_id="sub", page=2, per_page=2).json()
    assert [one["from_datetime"][:7] for one in page["usage_periods"]] == ["2026-05"]
    assert page["meta"]["total_count"] == 3
    (only,) = past_usage(timed, billable_metric_code="calls")[0]["charges_usage"]
    assert (only["billable_metric"]["code"], only["units"]) == ("calls", "1.0")


def test_past_usage_needs_a_subscription_and_a_known_metric(timed: Api) -> None:
    response = timed.get("customers/acme/past_usage")
    assert response.json() == invalid({"external_subscription_id": ["value_is_mandatory"]})
    unknown = timed.get("customers/acme/past_usage", external_subscription_id="sub", billable_metric_code="x")
    assert unknown.json()["code"] == "billable_metric_not_found"
    assert past_usage(timed) == []


def test_what_is_premium_is_refused(drafted: Api) -> None:
    projected = drafted.get("customers/acme/projected_usage", external_subscription_id="sub")
    assert projected.json() == {"status": 403, "error": "Forbidden", "code": "projected_usage_not_enabled"}
    full = drafted.get("customers/acme/current_usage", external_subscription_id="sub", full_usage="true")
    assert full.json() == {"status": 405, "error": "Method Not Allowed", "code": "full_usage_not_allowed"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "wallets"),
        ("GET", "coupons/x"),
        ("POST", "invoices"),
        ("POST", "invoices/preview"),
        ("GET", "customers/acme/wallets"),
        ("GET", "subscriptions/sub/fixed_charges"),
        ("POST", "events/estimate_instant_fees"),
    ],
)
def test_other_parts_of_lago_are_said_not_to_be_here(timed: Api, method: str, path: str) -> None:
    response = timed.client.request(method, path, json={})
    assert (response.status_code, response.json()["code"]) == (501, "not_in_sandbox")
