"""Billable metrics and plans: what an event's code measures and what it costs.

Only what the stand-in can also count is taken: `sum_agg` and `count_agg` without filters,
monthly plans, standard charges without filters. Anything else is answered with a 501 of the stand-in's own,
never accepted and then ignored.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.errors import invalid, not_found, unsupported
from reconciler.sandbox.expression import is_expression
from reconciler.sandbox.grammar import counted_number, format_instant
from reconciler.sandbox.store import Thing, new_id

METRIC = "billable_metric"
PLAN = "plan"

_AGGREGATIONS = {
    "count_agg",
    "sum_agg",
    "max_agg",
    "unique_count_agg",
    "weighted_sum_agg",
    "latest_agg",
    "custom_agg",
}
_COUNTED_HERE = {"count_agg", "sum_agg"}
_INTERVALS = {"weekly", "monthly", "quarterly", "semiannual", "yearly"}
_CHARGE_MODELS = {
    "standard",
    "graduated",
    "package",
    "percentage",
    "volume",
    "graduated_percentage",
    "custom",
    "dynamic",
}


def create_metric(call: Call) -> dict[str, Any]:
    """POST /billable_metrics."""
    params = call.root(METRIC)
    errors = _mandatory(params, "name", "code", "aggregation_type")
    aggregation = params.get("aggregation_type")
    if aggregation and aggregation not in _AGGREGATIONS:
        errors["aggregation_type"] = ["value_is_invalid"]
    if aggregation not in {"count_agg", "custom_agg"} and not params.get("field_name"):
        errors["field_name"] = ["value_is_mandatory"]
    if not is_expression(params.get("expression")):
        errors["expression"] = ["invalid_expression"]
    _check_new(call, METRIC, params, errors)
    if aggregation not in _COUNTED_HERE:
        raise unsupported(f"aggregation_type {aggregation}")
    if refused := [name for name in ("filters", "recurring", "rounding_function") if params.get(name)]:
        raise unsupported(f"billable_metric {', '.join(refused)}")
    metric = {
        "lago_id": new_id(),
        "name": params["name"],
        "code": params["code"],
        "description": params.get("description"),
        "aggregation_type": aggregation,
        "weighted_interval": None,
        "recurring": False,
        "rounding_function": None,
        "rounding_precision": None,
        "created_at": format_instant(call.lago.now()),
        "field_name": params.get("field_name"),
        "expression": params.get("expression"),
        "filters": [],
    }
    return {METRIC: _save(call, METRIC, metric)}


def list_metrics(call: Call) -> dict[str, Any]:
    """GET /billable_metrics."""
    return paged(call, "billable_metrics", call.store.things(call.organization, METRIC))


def show_metric(call: Call) -> dict[str, Any]:
    """GET /billable_metrics/:code."""
    return {METRIC: find(call, METRIC, call.path["code"])}


def create_plan(call: Call) -> dict[str, Any]:
    """POST /plans: with its charges, which name their metric by `lago_id`."""
    params = call.root(PLAN)
    errors = _mandatory(params, "name", "code", "interval", "amount_cents", "amount_currency", "pay_in_advance")
    if params.get("interval") and params["interval"] not in _INTERVALS:
        errors["interval"] = ["value_is_invalid"]
    _check_new(call, PLAN, params, errors)
    if params["interval"] != "monthly":
        raise unsupported(f"interval {params['interval']}")
    created_at = format_instant(call.lago.now())
    plan = {
        "lago_id": new_id(),
        "name": params["name"],
        "invoice_display_name": params.get("invoice_display_name"),
        "created_at": created_at,
        "code": params["code"],
        "interval": params["interval"],
        "description": params.get("description"),
        "amount_cents": params["amount_cents"],
        "amount_currency": params["amount_currency"],
        "trial_period": params.get("trial_period") or 0.0,
        "pay_in_advance": params["pay_in_advance"],
        "bill_charges_monthly": None,
        "charges": [_charge(call, charge, created_at) for charge in params.get("charges") or []],
        "usage_thresholds": [],
        "taxes": [],
    }
    return {PLAN: _save(call, PLAN, plan)}


def list_plans(call: Call) -> dict[str, Any]:
    """GET /plans."""
    return paged(call, "plans", call.store.things(call.organization, PLAN))


def show_plan(call: Call) -> dict[str, Any]:
    """GET /plans/:code."""
    return {PLAN: find(call, PLAN, call.path["code"])}


def find(call: Call, kind: str, key: str) -> Thing:
    """Return the metric or plan of that code, the customer of that external id.

    Raises:
        RefusalError: 404, there is none.
    """
    things = call.store.things(call.organization, kind, key)
    if not things:
        raise not_found(kind)
    return things[0]


def _charge(call: Call, params: Mapping[str, Any], created_at: str) -> dict[str, Any]:
    metrics = call.store.things(call.organization, METRIC)
    metric = next((metric for metric in metrics if metric["lago_id"] == params.get("billable_metric_id")), None)
    if metric is None:
        raise not_found(METRIC)
    model = params.get("charge_model")
    if model not in _CHARGE_MODELS:
        raise invalid({"charge_model": ["value_is_invalid"]})
    if model != "standard" or params.get("filters") or params.get("pay_in_advance") or params.get("prorated"):
        raise unsupported("charges other than standard ones, in arrears, without filters")
    properties = dict(params.get("properties") or {})
    amount = properties.get("amount")
    if not isinstance(amount, str) or (counted_number(amount) or Decimal(-1)) < 0:
        raise invalid({"properties": ["invalid_amount"]})
    return {
        "lago_id": new_id(),
        "lago_billable_metric_id": metric["lago_id"],
        "billable_metric_code": metric["code"],
        "code": params.get("code") or metric["code"],
        "invoice_display_name": params.get("invoice_display_name"),
        "created_at": created_at,
        "charge_model": model,
        "invoiceable": True,
        "regroup_paid_fees": None,
        "pay_in_advance": False,
        "prorated": False,
        "min_amount_cents": 0,
        "properties": properties,
        "filters": [],
        "taxes": [],
    }


def _mandatory(params: Mapping[str, Any], *names: str) -> dict[str, list[str]]:
    return {name: ["value_is_mandatory"] for name in names if params.get(name) in (None, "")}


def _check_new(call: Call, kind: str, params: Mapping[str, Any], errors: dict[str, list[str]]) -> None:
    if "code" not in errors and call.store.things(call.organization, kind, params["code"]):
        errors["code"] = ["value_already_exist"]
    if errors:
        raise invalid(errors)


def _save(call: Call, kind: str, thing: Thing) -> Thing:
    with call.store.transaction():
        call.store.save(call.organization, kind, thing["code"], thing)
    return thing
