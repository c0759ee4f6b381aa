"""Drafts that a changed plan or metric has outdated: Lago computes them anew within five minutes."""

from collections.abc import Iterable

from reconciler.sandbox.call import Call
from reconciler.sandbox.resources.catalog import INVOICE
from reconciler.sandbox.stores.store import Thing

DRAFT, FINAL = "draft", "finalized"


def outdate_drafts(call: Call, plans: Iterable[Thing]) -> None:
    """Have the drafts of these plans refreshed."""
    changed = {plan["lago_id"] for plan in plans}
    for invoice in call.store.things(call.organization, INVOICE):
        if invoice["status"] == DRAFT and changed & {one["lago_plan_id"] for one in invoice["periods"]}:
            invoice["outdated_at"] = call.lago.now()
            with call.store.transaction():
                call.store.save(call.organization, INVOICE, invoice["lago_customer_id"], invoice)
            call.lago.agenda.changed(call.organization, invoice["lago_id"])
