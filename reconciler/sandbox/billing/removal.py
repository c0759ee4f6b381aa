"""Deleting plans and customers: their subscriptions end, their drafts become final."""

from typing import Any

from reconciler.sandbox.billing.invoicing import finalize
from reconciler.sandbox.call import Call
from reconciler.sandbox.resources.catalog import CUSTOMER, INVOICE, PLAN, SUBSCRIPTION, find
from reconciler.sandbox.resources.customers import render_customer
from reconciler.sandbox.resources.drafts import DRAFT
from reconciler.sandbox.resources.plans import render_plan
from reconciler.sandbox.resources.subscriptions import terminate
from reconciler.sandbox.stores.store import Thing


def delete_plan(call: Call) -> dict[str, Any]:
    """DELETE /plans/:code."""
    plan = find(call, PLAN, call.path["code"])
    answer = render_plan(plan)
    _end(call, plan, "plan_id", "lago_plan_id")
    return {PLAN: answer}


def delete_customer(call: Call) -> dict[str, Any]:
    """DELETE /customers/:external_id: its external id is free again."""
    customer = find(call, CUSTOMER, call.path["external_id"])
    answer = render_customer(call.store, call.organization, customer)
    _end(call, customer, "lago_customer_id", "lago_customer_id")
    return {CUSTOMER: answer}


def _end(call: Call, thing: Thing, of_subscription: str, of_invoice: str) -> None:
    """Delete a thing, after its subscriptions have ended and its drafts have become final."""
    for status in ("active", "pending"):  # an end cancels the one that was to follow
        for subscription in call.store.things(call.organization, SUBSCRIPTION):
            if subscription[of_subscription] == thing["lago_id"] and subscription["status"] == status:
                terminate(call, subscription, call.lago.now())
    for invoice in call.store.things(call.organization, INVOICE):
        named = {invoice.get(of_invoice), *(one.get(of_invoice) for one in invoice["periods"])}
        if invoice["status"] == DRAFT and thing["lago_id"] in named:
            finalize(call, invoice, call.lago.now())
    with call.store.transaction():
        call.store.remove(thing)
