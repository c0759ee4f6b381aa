"""Billable metrics: what an event's code measures, how its events are aggregated, and by what they can be told apart.

`custom_agg` needs Lago's licence and is refused as Lago refuses it.
"""

import re
from collections.abc import Mapping
from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.grammar import format_instant, scalar_text
from reconciler.sandbox.refusals import invalid
from reconciler.sandbox.resources.catalog import (
    METRIC,
    PLAN,
    SUBSCRIPTION,
    Errors,
    check_code,
    find,
    mandatory,
    premium,
    refuse,
    save,
)
from reconciler.sandbox.resources.charges import drop_metric, trim_filters
from reconciler.sandbox.resources.drafts import outdate_drafts
from reconciler.sandbox.resources.expression import EvaluationError, Event, is_expression, parse
from reconciler.sandbox.stores.store import Thing, new_id

_AGGREGATIONS = frozenset(
    {"count_agg", "sum_agg", "max_agg", "unique_count_agg", "weighted_sum_agg", "latest_agg", "custom_agg"}
)
_NEVER_RECURRING = frozenset({"count_agg", "max_agg", "latest_agg"})
_ROUNDINGS = frozenset({"round", "ceil", "floor"})
_FIELDS = (
    "name",
    "code",
    "description",
    "aggregation_type",
    "weighted_interval",
    "recurring",
    "rounding_function",
    "rounding_precision",
    "field_name",
    "expression",
)
_ALWAYS_EDITABLE = frozenset({"name", "description"})


def create_metric(call: Call) -> dict[str, Any]:
    """POST /billable_metrics."""
    params = call.root(METRIC)
    if params.get("aggregation_type") == "custom_agg":
        raise premium()
    metric: Thing = {
        "lago_id": new_id(),
        **{name: params.get(name) for name in _FIELDS},
        "recurring": bool(params.get("recurring")),
        "filters": _filters(params.get("filters")),
        "created_at": format_instant(call.lago.now()),
    }
    check_code(call, METRIC, metric, _errors(metric))
    return {METRIC: save(call, METRIC, metric["code"], metric)}


def list_metrics(call: Call) -> dict[str, Any]:
    """GET /billable_metrics."""
    return paged(call, "billable_metrics", call.store.things(call.organization, METRIC))


def show_metric(call: Call) -> dict[str, Any]:
    """GET /billable_metrics/:code."""
    return {METRIC: find(call, METRIC, call.path["code"])}


def update_metric(call: Call) -> dict[str, Any]:
    """PUT /billable_metrics/:code: once somebody has subscribed, only name, description and filters change."""
    params = call.root(METRIC)
    metric = find(call, METRIC, call.path["code"])
    if params.get("aggregation_type") == "custom_agg":
        raise premium()
    subscribed = {one["plan_id"] for one in call.store.things(call.organization, SUBSCRIPTION)}
    plans = call.store.things(call.organization, PLAN)
    attached = any(plan["lago_id"] in subscribed and _charged_by(plan, metric) for plan in plans)
    editable = _ALWAYS_EDITABLE if attached else set(_FIELDS)
    metric |= {name: params[name] for name in _FIELDS if name in params and name in editable}
    if "filters" in params:
        metric["filters"] = _filters(params["filters"])
    check_code(call, METRIC, metric, _errors(metric), mine=metric["lago_id"])
    now = call.lago.now()
    with call.store.transaction():
        call.store.save(call.organization, METRIC, metric["code"], metric)
        for plan in plans:
            if _charged_by(plan, metric):
                call.store.save(call.organization, PLAN, plan["code"], trim_filters(plan, metric, now))
        outdate_drafts(call, [plan for plan in plans if _charged_by(plan, metric)])
    return {METRIC: metric}


def delete_metric(call: Call) -> dict[str, Any]:
    """DELETE /billable_metrics/:code: with its charges; its events stay."""
    metric = find(call, METRIC, call.path["code"])
    with call.store.transaction():
        call.store.remove(metric)
        plans = [plan for plan in call.store.things(call.organization, PLAN) if _charged_by(plan, metric)]
        for plan in plans:
            call.store.save(call.organization, PLAN, plan["code"], drop_metric(plan, metric))
        outdate_drafts(call, plans)
    return {METRIC: metric}


def evaluate_expression(call: Call) -> dict[str, Any]:
    """POST /billable_metrics/evaluate_expression: what a metric with this expression would make of an event."""
    expression, event = call.body.get("expression"), call.body.get("event") or {}
    refuse(mandatory({"expression": expression}, "expression"))
    if not is_expression(expression):
        raise invalid({"expression": ["invalid_expression"]})
    properties = {name: scalar_text(value) for name, value in (event.get("properties") or {}).items()}
    timestamp = re.match(r"\s*-?[0-9]+", str(event.get("timestamp")))
    try:
        seconds = int(timestamp[0]) if timestamp else 0
        value = parse(expression).evaluate(Event(str(event.get("code") or ""), seconds, properties))
    except EvaluationError:
        raise invalid({"event": ["invalid_event"]}) from None
    return {"expression_result": {"value": value}}


def _charged_by(plan: Thing, metric: Thing) -> bool:
    return any(charge["lago_billable_metric_id"] == metric["lago_id"] for charge in plan["charges"])


def _filters(params: Any) -> list[dict[str, Any]]:
    filters = {one["key"]: list(dict.fromkeys(one.get("values") or [])) for one in params or []}
    return [{"key": key, "values": values} for key, values in sorted(filters.items())]


def _errors(metric: Mapping[str, Any]) -> Errors:
    errors = mandatory(metric, "name", "code")
    aggregation = metric["aggregation_type"]
    if aggregation not in _AGGREGATIONS:
        errors["aggregation_type"] = ["value_is_invalid"]
    if aggregation != "count_agg":
        errors |= mandatory(metric, "field_name")
    if aggregation == "weighted_sum_agg" and metric["weighted_interval"] != "seconds":
        errors["weighted_interval"] = ["value_is_invalid"]
    if metric["recurring"] and aggregation in _NEVER_RECURRING:
        errors["recurring"] = ["not_compatible_with_aggregation_type"]
    if metric["rounding_function"] not in {None, *_ROUNDINGS}:
        errors["rounding_function"] = ["value_is_invalid"]
    if not is_expression(metric["expression"]):
        errors["expression"] = ["invalid_expression"]
    if any(not one["values"] for one in metric["filters"]):
        errors["values"] = ["value_is_mandatory"]
    return errors
