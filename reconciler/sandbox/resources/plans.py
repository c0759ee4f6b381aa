"""Plans: an interval, an amount for each interval, and charges for usage in arrears.

Taxes, commitments, thresholds, trials and whatever is paid in advance are answered with a 501.
"""

import re
from collections.abc import Mapping
from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.grammar import format_instant
from reconciler.sandbox.refusals import invalid, unsupported
from reconciler.sandbox.resources.catalog import (
    PLAN,
    SUBSCRIPTION,
    Errors,
    check_code,
    find,
    mandatory,
    refuse_unsupported,
    save,
)
from reconciler.sandbox.resources.charges import check_metrics, make_charge, render_charge
from reconciler.sandbox.resources.drafts import outdate_drafts
from reconciler.sandbox.resources.plan_metadata import sent_metadata, set_metadata
from reconciler.sandbox.schedule.periods import INTERVALS, PERIODS_A_YEAR
from reconciler.sandbox.stores.store import Thing, new_id

_CURRENCY = re.compile(r"[A-Z]{3}")
_FIELDS = (
    "name",
    "invoice_display_name",
    "code",
    "interval",
    "description",
    "amount_cents",
    "amount_currency",
    "pay_in_advance",
)
_ALWAYS_EDITABLE = frozenset({"name", "invoice_display_name", "description", "amount_cents"})
_NOT_HERE = (
    "trial_period",
    "minimum_commitment",
    "usage_thresholds",
    "tax_codes",
    "fixed_charges",
    "bill_charges_monthly",
    "bill_fixed_charges_monthly",
)


def create_plan(call: Call) -> dict[str, Any]:
    """POST /plans: with its charges, which name their metric by `lago_id`."""
    params = call.root(PLAN)
    plan: Thing = {
        "lago_id": new_id(),
        **{name: params.get(name) for name in _FIELDS},
        "charges": [],
        "created_at": format_instant(call.lago.now()),
    }
    check_metrics(call, params.get("charges") or [])
    check_code(call, PLAN, plan, _errors(plan))
    _check_supported(params, plan)
    set_metadata(plan, sent_metadata(params))
    for charge in params.get("charges") or []:
        plan["charges"].append(make_charge(call, charge, _codes(plan)))
    return {PLAN: render_plan(save(call, PLAN, plan["code"], plan))}


def list_plans(call: Call) -> dict[str, Any]:
    """GET /plans."""
    return paged(call, "plans", call.store.things(call.organization, PLAN), render_plan)


def show_plan(call: Call) -> dict[str, Any]:
    """GET /plans/:code."""
    return {PLAN: render_plan(find(call, PLAN, call.path["code"]))}


def update_plan(call: Call) -> dict[str, Any]:
    """PUT /plans/:code: `charges`, if given, are all that it has from now on; known ones are named by `id`.

    Once somebody has subscribed, only names, description, amount, metadata and charges change.
    """
    params = call.root(PLAN)
    plan = find(call, PLAN, call.path["code"])
    attached = any(one["plan_id"] == plan["lago_id"] for one in call.store.things(call.organization, SUBSCRIPTION))
    editable = _ALWAYS_EDITABLE if attached else set(_FIELDS)
    plan |= {name: params[name] for name in _FIELDS if name in params and name in editable}
    check_metrics(call, params.get("charges") or [])
    check_code(call, PLAN, plan, _errors(plan), mine=plan["lago_id"])
    _check_supported(params, plan)
    if (metadata := sent_metadata(params)) is not None:
        set_metadata(plan, metadata)
    if params.get("charges") is not None:
        known = {charge["lago_id"]: charge for charge in plan["charges"]}
        kept = [known[charge["id"]]["code"] for charge in params["charges"] if charge.get("id") in known]
        plan["charges"] = []
        for charge in params["charges"]:
            plan["charges"].append(make_charge(call, charge, kept + _codes(plan), known.get(charge.get("id"))))
    outdate_drafts(call, [plan])
    return {PLAN: render_plan(save(call, PLAN, plan["code"], plan))}


def render_plan(plan: Thing) -> dict[str, Any]:
    """Return a plan as Lago serializes it."""
    return {
        **plan,
        "trial_period": 0.0,
        "bill_charges_monthly": False if plan["interval"] in {"yearly", "semiannual"} else None,
        "customers_count": 0,
        "active_subscriptions_count": 0,
        "draft_invoices_count": 0,
        "parent_id": None,
        "charges": [render_charge(charge) for charge in plan["charges"]],
        "usage_thresholds": [],
        "taxes": [],
    }


def yearly_amount(plan: Thing) -> int:
    """Return the cents a year that tell an upgrade from a downgrade."""
    cents: int = plan["amount_cents"]
    return cents * PERIODS_A_YEAR[plan["interval"]]


def _codes(plan: Thing) -> list[str]:
    return [charge["code"] for charge in plan["charges"]]


def _errors(plan: Mapping[str, Any]) -> Errors:
    errors = mandatory(plan, "name", "code", "interval", "amount_cents", "amount_currency", "pay_in_advance")
    if plan["interval"] and plan["interval"] not in INTERVALS:
        errors["interval"] = ["value_is_invalid"]
    if plan["amount_currency"] and not _CURRENCY.fullmatch(str(plan["amount_currency"])):
        errors["amount_currency"] = ["value_is_invalid"]
    return errors


def _check_supported(params: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    refuse_unsupported(params, *_NOT_HERE)
    amount = plan["amount_cents"]
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise invalid({"amount_cents": ["value_is_out_of_range"]})
    if amount and plan["pay_in_advance"]:
        raise unsupported("an amount that is paid in advance")
