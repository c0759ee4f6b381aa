"""Invoices: made when a period closes, recomputed while they are drafts, fixed for good when they are final.

A draft is recomputed when it is refreshed or finalized: events of its period that came meanwhile are billed.
What comes after that is taken and never billed.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from reconciler.sandbox.call import Call
from reconciler.sandbox.reckoning.fees import Carried, ChargeUsage, Fee, carried_over, decimals_of
from reconciler.sandbox.resources.catalog import INVOICE
from reconciler.sandbox.resources.customers import grace_of, net_payment_term_of, slug_prefix
from reconciler.sandbox.resources.drafts import DRAFT, FINAL
from reconciler.sandbox.resources.subscriptions import schedule_of
from reconciler.sandbox.schedule.periods import Period, Schedule
from reconciler.sandbox.stores.store import Thing, new_id


class Closing(NamedTuple):
    """A subscription's period that is to be billed: the whole one, and what of it the subscription lived."""

    subscription: Thing
    whole: Period
    period: Period
    reason: str


def make_invoice(call: Call, closings: Sequence[Closing], at: int, worked_at: int) -> Thing:
    """Bill periods of one customer's subscriptions, all in one currency.

    Args:
        call: for its organization and store.
        closings: what to bill.
        at: when it was due, in microseconds since 1970: the invoice's day is that.
        worked_at: when a worker gets to it.

    Returns:
        The invoice: a draft if the customer has days of grace, otherwise final.
    """
    store = call.store
    customer = store.thing(closings[0].subscription["lago_customer_id"])
    schedule = schedule_of(store, call.organization, closings[0].subscription)
    grace = grace_of(store, call.organization, customer)
    invoice: Thing = {
        "lago_id": new_id(),
        "lago_customer_id": customer["lago_id"],
        "status": DRAFT,
        "number": f"{slug_prefix(call.organization)}-DRAFT",
        "sequential_id": None,
        "currency": store.thing(closings[0].subscription["plan_id"])["amount_currency"],
        "timezone": str(schedule.zone),
        "issuing_date": (schedule.day(at) + timedelta(days=grace)).isoformat(),
        "net_payment_term": net_payment_term_of(store, call.organization, customer),
        "payment_status": "pending",
        "created_at": worked_at,
        "updated_at": worked_at,
        "outdated_at": None,
        "periods": [
            {
                "lago_subscription_id": one.subscription["lago_id"],
                "external_subscription_id": one.subscription["external_id"],
                "lago_plan_id": one.subscription["plan_id"],
                "whole": one.whole,
                "period": one.period,
                "reason": one.reason,
            }
            for one in closings
        ],
    }
    return reckon(call, invoice if grace else _numbered(call, invoice), worked_at)


def reckon(call: Call, invoice: Thing, at: int) -> Thing:
    """Compute an invoice's fees from the events that are there now, and keep it."""
    fees = [fee for period in invoice["periods"] for fee in _fees(call, period)]
    invoice["fees"] = msgspec.to_builtins(fees)
    invoice |= {"updated_at": at, "outdated_at": None}
    return keep_invoice(call, invoice)


def finalize(call: Call, invoice: Thing, at: int) -> Thing:
    """Recompute a draft for the last time and issue it."""
    schedule = Schedule("monthly", None, ZoneInfo(invoice["timezone"]))
    return reckon(call, _numbered(call, invoice | {"issuing_date": schedule.day(at).isoformat()}), at)


def keep_invoice(call: Call, invoice: Thing) -> Thing:
    """Save an invoice, to be found by its customer's `lago_id`."""
    paid = amount_of(invoice) == 0
    invoice["payment_status"] = "succeeded" if paid else "pending"
    with call.store.transaction():
        call.store.save(call.organization, INVOICE, invoice["lago_customer_id"], invoice)
    call.lago.agenda.changed(call.organization, invoice["lago_id"])
    return invoice


def _numbered(call: Call, invoice: Thing) -> Thing:
    """Return the invoice as a final one: only that has a number of its own, the next of its customer."""
    customer = call.store.thing(invoice["lago_customer_id"])
    others = call.store.things(call.organization, INVOICE, customer["lago_id"])
    number = 1 + max((one["sequential_id"] or 0 for one in others), default=0)
    slug = f"{slug_prefix(call.organization)}-{customer['sequential_id']:03d}"
    return invoice | {"status": FINAL, "number": f"{slug}-{number:03d}", "sequential_id": number}


def fees_of(invoice: Thing) -> list[Fee]:
    """Return an invoice's fees."""
    return msgspec.convert(invoice["fees"], list[Fee], strict=False)


def amount_of(invoice: Thing) -> int:
    """Return an invoice's amount in the currency's smallest unit."""
    return sum(fee["cents"] for fee in invoice["fees"])


def carried_into(call: Call, subscription: Thing, charge: Thing, start: int) -> Carried:
    """Return what a charge's recurring weighted sums had come to in the last invoice before an instant."""
    latest: list[Fee] = []
    for invoice in call.store.things(call.organization, INVOICE, subscription["lago_customer_id"]):
        fees = [
            fee
            for fee in fees_of(invoice)
            if fee.item["lago_id"] == charge["lago_id"]
            and fee.end < start
            and call.store.thing(fee.subscription_id)["external_id"] == subscription["external_id"]
        ]
        if fees and (not latest or fees[0].end > latest[0].end):
            latest = fees
    return carried_over(latest)


def charge_usage(
    call: Call, subscription: Thing, plan: Thing, charge: Thing, whole: Period, period: Period, **narrowed: Any
) -> ChargeUsage:
    """Return the usage of one charge of a subscription in a period."""
    metric = call.store.thing(charge["lago_billable_metric_id"])
    weighted = metric["recurring"] and metric["aggregation_type"] == "weighted_sum_agg"
    return ChargeUsage(
        call.store,
        call.organization,
        subscription,
        plan,
        charge,
        whole=whole,
        period=period,
        carried=carried_into(call, subscription, charge, period.start) if weighted else None,
        **narrowed,
    )


def _fees(call: Call, billed: Thing) -> Iterable[Fee]:
    """Return the fees of one period: the plan's amount, and its charges as far as they come to anything."""
    subscription = call.store.thing(billed["lago_subscription_id"])
    plan = call.store.thing(billed["lago_plan_id"])
    whole, period = Period(*billed["whole"]), Period(*billed["period"])
    schedule = schedule_of(call.store, call.organization, subscription)
    if plan["amount_cents"]:
        yield _subscription_fee(subscription, plan, whole, period, schedule)
    for charge in plan["charges"]:
        usage = charge_usage(call, subscription, plan, charge, whole, period)
        for chosen in usage.filters:
            yield from (fee for fee in usage.fees(chosen) if not fee.is_nothing)


def _subscription_fee(subscription: Thing, plan: Thing, whole: Period, period: Period, schedule: Schedule) -> Fee:
    """Bill the plan's amount by the days that the subscription lived, the first and the last one whole."""
    cents, lived_days, all_days = plan["amount_cents"], schedule.days(period), schedule.days(whole)
    cents = (2 * cents * lived_days + all_days) // (2 * all_days)
    amount = Decimal(cents).scaleb(-decimals_of(plan["amount_currency"]))
    return Fee(
        lago_id=new_id(),
        subscription_id=subscription["lago_id"],
        kind="subscription",
        item={"lago_id": subscription["lago_id"], "code": plan["code"], "name": plan["name"]},
        metric={},
        filter=None,
        grouped_by={},
        start=period.start,
        end=period.end,
        currency=plan["amount_currency"],
        units=Decimal(1),
        total_units=Decimal(1),
        events=0,
        amount=amount,
        cents=cents,
    )
