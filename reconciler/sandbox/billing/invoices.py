"""Reading and finishing invoices: invoices, their fees, and past usage, which is made of them."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from reconciler.sandbox.billing.invoicing import amount_of, fees_of, finalize, reckon
from reconciler.sandbox.billing.usage import render_charges
from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.grammar import format_instant, parse_iso, ruby_decimal
from reconciler.sandbox.reckoning.fees import Fee
from reconciler.sandbox.refusals import not_found
from reconciler.sandbox.resources.catalog import CUSTOMER, INVOICE, METRIC, find, moment, refuse, refuse_unsupported
from reconciler.sandbox.resources.customers import render_customer
from reconciler.sandbox.resources.drafts import DRAFT, FINAL
from reconciler.sandbox.resources.subscriptions import render_subscription
from reconciler.sandbox.schedule.periods import Period
from reconciler.sandbox.stores.store import Thing

_EQUAL = ("status", "payment_status", "currency")
_NOT_HERE = (
    "search_term",
    "metadata",
    "amount_from",
    "amount_to",
    "partially_paid",
    "settlements",
    "billing_entity_codes[]",
)


def list_invoices(call: Call) -> dict[str, Any]:
    """GET /invoices: the latest issued first, and the latest made of one day, without their fees."""
    refuse_unsupported(call.query, *_NOT_HERE)
    since, until = (_day(call, name) for name in ("issuing_date_from", "issuing_date_to"))
    found = [
        invoice
        for invoice in _invoices_of(call, call.query.get("external_customer_id"))
        if all(invoice[name] == call.query.get(name, invoice[name]) for name in _EQUAL)
        and (since or "") <= invoice["issuing_date"] <= (until or "9999")
        and call.query.get("invoice_type", "subscription") == "subscription"
    ]
    found.sort(key=lambda invoice: (invoice["issuing_date"], invoice["created_at"]), reverse=True)
    return paged(call, "invoices", found, lambda invoice: render_invoice(call, invoice))


def show_invoice(call: Call) -> dict[str, Any]:
    """GET /invoices/:lago_id: with its fees."""
    return _answer(call, _find_invoice(call))


def refresh_invoice(call: Call) -> dict[str, Any]:
    """PUT /invoices/:lago_id/refresh: recompute a draft now; a final one stays as it is."""
    invoice = _find_invoice(call)
    return _answer(call, reckon(call, invoice, call.lago.now()) if invoice["status"] == DRAFT else invoice)


def finalize_invoice(call: Call) -> dict[str, Any]:
    """PUT /invoices/:lago_id/finalize: make a draft final before its time."""
    invoice = _find_invoice(call)
    if invoice["status"] != DRAFT:
        raise not_found(INVOICE)
    return _answer(call, finalize(call, invoice, call.lago.now()))


def list_fees(call: Call) -> dict[str, Any]:
    """GET /fees: of all invoices, the latest invoice's first."""
    query = call.query
    wanted = {
        "external_subscription_id": query.get("external_subscription_id"),
        "amount_currency": query.get("currency"),
        "payment_status": query.get("payment_status"),
        "event_transaction_id": query.get("event_transaction_id"),
    }
    created = moment(query, "created_at_from"), moment(query, "created_at_to")
    found = [
        fee
        for invoice in _invoices_of(call, query.get("external_customer_id"))
        if (created[0] or 0) <= invoice["created_at"] <= (created[1] or invoice["created_at"])
        for fee in _render_fees(call, invoice)
        if all(value is None or fee.get(name) == value for name, value in wanted.items())
        and query.get("fee_type", fee["item"]["type"]) == fee["item"]["type"]
        and query.get("billable_metric_code", fee["item"]["code"]) == fee["item"]["code"]
    ]
    return paged(call, "fees", found)


def show_fee(call: Call) -> dict[str, Any]:
    """GET /fees/:lago_id."""
    for invoice in call.store.things(call.organization, INVOICE):
        for fee in _render_fees(call, invoice):
            if fee["lago_id"] == call.path["lago_id"]:
                return {"fee": fee}
    raise not_found("fee")


def past_usage(call: Call) -> dict[str, Any]:
    """GET /customers/:external_id/past_usage: a subscription's billed periods, the latest first."""
    external_id = call.query.get("external_subscription_id")
    refuse({} if external_id else {"external_subscription_id": ["value_is_mandatory"]})
    metric = call.query.get("billable_metric_code")
    if metric:
        find(call, METRIC, metric)
    periods = [
        (Period(*billed["period"]), _past_period(invoice, billed, metric))
        for invoice in _invoices_of(call, call.path["external_id"])
        for billed in invoice["periods"]
        if billed["external_subscription_id"] == external_id
    ]
    periods.sort(key=lambda one: one[0].start, reverse=True)
    answer = paged(call, "usage_periods", (usage for _, usage in periods))
    if count := call.query.get("periods_count"):
        answer["usage_periods"] = answer["usage_periods"][: int(count)]
    return answer


def render_invoice(call: Call, invoice: Thing) -> dict[str, Any]:
    """Return an invoice as Lago lists it."""
    amount = amount_of(invoice)
    due = date.fromisoformat(invoice["issuing_date"]) + timedelta(days=invoice["net_payment_term"])
    return {
        "lago_id": invoice["lago_id"],
        "billing_entity_code": "default",
        "sequential_id": invoice["sequential_id"],
        "number": invoice["number"],
        "issuing_date": invoice["issuing_date"],
        "payment_due_date": due.isoformat(),
        "net_payment_term": invoice["net_payment_term"],
        "invoice_type": "subscription",
        "status": invoice["status"],
        "payment_status": invoice["payment_status"],
        "payment_dispute_lost_at": None,
        "payment_overdue": False,
        "currency": invoice["currency"],
        "fees_amount_cents": amount,
        "taxes_amount_cents": 0,
        "progressive_billing_credit_amount_cents": 0,
        "coupons_amount_cents": 0,
        "credit_notes_amount_cents": 0,
        "sub_total_excluding_taxes_amount_cents": amount,
        "sub_total_including_taxes_amount_cents": amount,
        "total_amount_cents": amount,
        "total_due_amount_cents": amount if invoice["status"] == FINAL else 0,
        "total_paid_amount_cents": 0,
        "total_offsetted_credit_note_amount_cents": 0,
        "prepaid_credit_amount_cents": 0,
        "prepaid_granted_credit_amount_cents": None,
        "prepaid_purchased_credit_amount_cents": None,
        "file_url": None,
        "xml_url": None,
        "version_number": 4,
        "self_billed": False,
        "created_at": format_instant(invoice["created_at"]),
        "updated_at": format_instant(invoice["updated_at"]),
        "voided_at": None,
        "customer": render_customer(call.store, call.organization, call.store.thing(invoice["lago_customer_id"])),
        "metadata": [],
        "applied_taxes": [],
    }


def _answer(call: Call, invoice: Thing) -> dict[str, Any]:
    subscriptions = [call.store.thing(one["lago_subscription_id"]) for one in invoice["periods"]]
    whole = {
        **render_invoice(call, invoice),
        "subscriptions": [render_subscription(call, one) for one in subscriptions],
        "billing_periods": [_billing_period(billed) for billed in invoice["periods"]],
        "fees": list(_render_fees(call, invoice)),
        "credits": [],
        "error_details": [],
        "applied_invoice_custom_sections": [],
    }
    return {INVOICE: whole}


def _find_invoice(call: Call) -> Thing:
    for invoice in call.store.things(call.organization, INVOICE):
        if invoice["lago_id"] == call.path["lago_id"]:
            return invoice
    raise not_found(INVOICE)


def _invoices_of(call: Call, external_customer_id: str | None) -> list[Thing]:
    """Return the invoices of a customer, or of all; of an unknown customer there are none."""
    if external_customer_id is None:
        return call.store.things(call.organization, INVOICE)
    customers = call.store.things(call.organization, CUSTOMER, external_customer_id)
    return [one for customer in customers for one in call.store.things(call.organization, INVOICE, customer["lago_id"])]


def _day(call: Call, name: str) -> str | None:
    """Return a date of the query in ISO 8601; Lago ignores what is none."""
    try:
        return format_instant(parse_iso(call.query[name]))[:10]
    except (KeyError, ValueError):
        return None


def _billing_period(billed: Thing) -> dict[str, Any]:
    whole, period = Period(*billed["whole"]), Period(*billed["period"])
    return {
        "lago_subscription_id": billed["lago_subscription_id"],
        "external_subscription_id": billed["external_subscription_id"],
        "lago_plan_id": billed["lago_plan_id"],
        "subscription_from_datetime": format_instant(max(whole.start, period.start)),
        "subscription_to_datetime": format_instant(period.end),
        "charges_from_datetime": format_instant(period.start),
        "charges_to_datetime": format_instant(period.end),
        "invoicing_reason": billed["reason"],
    }


def _past_period(invoice: Thing, billed: Thing, metric: str | None) -> dict[str, Any]:
    period = Period(*billed["period"])
    fees = [
        fee
        for fee in fees_of(invoice)
        if fee.kind == "charge"
        and fee.subscription_id == billed["lago_subscription_id"]
        and metric in {None, fee.metric["code"]}
    ]
    return {
        "from_datetime": format_instant(period.start),
        "to_datetime": format_instant(period.end),
        "issuing_date": invoice["issuing_date"],
        "currency": invoice["currency"],
        "amount_cents": amount_of(invoice),
        "total_amount_cents": amount_of(invoice),
        "taxes_amount_cents": 0,
        "lago_invoice_id": invoice["lago_id"],
        "charges_usage": render_charges(fees),
    }


def _render_fees(call: Call, invoice: Thing) -> Iterable[dict[str, Any]]:
    customer = call.store.thing(invoice["lago_customer_id"])
    for fee in fees_of(invoice):
        charged = fee.kind == "charge"
        yield {
            "lago_id": fee.lago_id,
            "lago_charge_id": fee.item["lago_id"] if charged else None,
            "lago_charge_filter_id": fee.filter["lago_id"] if fee.filter else None,
            "lago_invoice_id": invoice["lago_id"],
            "lago_true_up_fee_id": None,
            "lago_true_up_parent_fee_id": None,
            "lago_subscription_id": fee.subscription_id,
            "external_subscription_id": call.store.thing(fee.subscription_id)["external_id"],
            "lago_customer_id": customer["lago_id"],
            "external_customer_id": customer["external_id"],
            "item": _item(fee),
            "pay_in_advance": False,
            "invoiceable": True,
            "amount_cents": fee.cents,
            "amount_currency": fee.currency,
            "precise_amount": ruby_decimal(fee.amount),
            "precise_total_amount": ruby_decimal(fee.amount),
            "taxes_amount_cents": 0,
            "taxes_precise_amount": "0.0",
            "taxes_rate": 0.0,
            "total_aggregated_units": ruby_decimal(fee.total_units),
            "total_amount_cents": fee.cents,
            "total_amount_currency": fee.currency,
            "units": ruby_decimal(fee.units),
            "description": None,
            "precise_unit_amount": ruby_decimal(fee.unit_amount),
            "precise_coupons_amount_cents": "0.0",
            "events_count": fee.events if charged else None,
            "payment_status": invoice["payment_status"],
            "created_at": format_instant(invoice["created_at"]),
            "succeeded_at": None,
            "failed_at": None,
            "refunded_at": None,
            "amount_details": {},
            "self_billed": False,
            "pricing_unit_details": None,
            "from_date": format_instant(fee.start),
            "to_date": format_instant(fee.end),
        }


def _item(fee: Fee) -> dict[str, Any]:
    charged = fee.kind == "charge"
    thing = fee.metric if charged else fee.item
    values = fee.filter["values"] if fee.filter else None
    return {
        "type": fee.kind,
        "code": thing["code"],
        "name": thing["name"],
        "description": None,
        "invoice_display_name": fee.item.get("invoice_display_name") or thing["name"],
        "filters": values,
        "filter_invoice_display_name": fee.filter["invoice_display_name"]
        or ", ".join(value for wanted in fee.filter["values"].values() for value in wanted)
        if fee.filter
        else None,
        "lago_item_id": thing["lago_id"],
        "item_type": "BillableMetric" if charged else "Subscription",
        "grouped_by": fee.grouped_by,
    }
