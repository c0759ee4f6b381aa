"""Invoices in their list: the latest issued first, drafts without a number of their own, and whose they are."""

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api
from tests.sandbox.support import invoices, make_plan, subscribe


@pytest.fixture
def customers(timed: Api, clock: Clock) -> Api:
    """Two customers: `graced` has five days of grace, `acme` has none; both are billed for May on 1 June."""
    make_plan(timed)
    grace = {"external_id": "graced", "billing_configuration": {"invoice_grace_period": 5}}
    timed.post("customers", {"customer": grace})
    for customer in ("graced", "acme"):
        subscribe(timed, customer, external_customer_id=customer, subscription_at="2026-05-01T00:00:00Z")
    clock.put("2026-06-01T00:10:00Z")
    return timed


def listed(api: Api, **query: object) -> list[tuple[str, str]]:
    return [(one["customer"]["external_id"], one["issuing_date"]) for one in invoices(api, **query)]


def test_a_draft_that_is_issued_later_comes_before_what_is_issued(customers: Api) -> None:
    assert listed(customers) == [("graced", "2026-06-06"), ("acme", "2026-06-01")]


def test_of_one_day_the_latest_made_comes_first(customers: Api, clock: Clock) -> None:
    clock.put("2026-06-01T08:00:00Z")
    customers.client.delete("subscriptions/acme")
    assert [one["created_at"] for one in invoices(customers, external_customer_id="acme")] == [
        "2026-06-01T08:00:00Z",
        "2026-06-01T00:10:00Z",
    ]


def test_it_is_paged_from_the_latest_on(customers: Api) -> None:
    answer = customers.get("invoices", invoice_type="subscription", per_page=1).json()
    assert [one["customer"]["external_id"] for one in answer["invoices"]] == ["graced"]
    assert answer["meta"] == {
        "current_page": 1,
        "next_page": 2,
        "prev_page": None,
        "total_pages": 2,
        "total_count": 2,
    }
    assert listed(customers, invoice_type="subscription", per_page=1, page=2) == [("acme", "2026-06-01")]


def test_a_draft_has_no_number_of_its_own(customers: Api, clock: Clock) -> None:
    (draft,) = invoices(customers, status="draft")
    (final,) = invoices(customers, status="finalized")
    prefix, _, _ = draft["number"].rpartition("-DRAFT")
    assert (draft["number"], final["number"]) == (f"{prefix}-DRAFT", f"{prefix}-002-001")
    clock.put("2026-06-06T00:20:00Z")
    assert [one["number"] for one in invoices(customers, external_customer_id="graced")] == [f"{prefix}-001-001"]


def test_final_ones_are_numbered_by_customer(customers: Api, clock: Clock) -> None:
    clock.put("2026-07-06T00:20:00Z")
    numbers = {
        name: [one["number"][-7:] for one in invoices(customers, external_customer_id=name)]
        for name in ("acme", "graced")
    }
    assert numbers == {"acme": ["002-002", "002-001"], "graced": ["001-002", "001-001"]}
