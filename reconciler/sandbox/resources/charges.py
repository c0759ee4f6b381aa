"""The charges of a plan: which metric, priced how, and by which filters events are told apart.

A charge keeps, beside what Lago shows, when it and each of its filters last changed (`updated_at`): cached
usage is found by it.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import format_instant
from reconciler.sandbox.reckoning.filters import ALL_VALUES
from reconciler.sandbox.reckoning.pricing import DEFAULTS, GROUP_KEYS, PROPERTIES, group_keys, property_errors
from reconciler.sandbox.refusals import invalid, not_found, unsupported
from reconciler.sandbox.resources.catalog import METRIC, Errors, refuse, refuse_unsupported
from reconciler.sandbox.stores.store import Thing, new_id

_NOT_HERE = frozenset({"graduated_percentage", "custom"})
_SUM_ONLY = frozenset({"dynamic"})


def make_charge(call: Call, params: Mapping[str, Any], codes: list[str], known: Thing | None = None) -> Thing:
    """Return the charge that a plan's parameters describe.

    Args:
        call: the request, for its organization's metrics.
        params: the charge as sent.
        codes: the codes of the plan's charges so far.
        known: the charge to change; what `params` leaves out stays.

    Raises:
        RefusalError: 404, no such metric; 422, the model, the properties or a filter is wrong; 501.
    """
    refuse_unsupported(params, "pay_in_advance", "prorated", "min_amount_cents", "tax_codes", "applied_pricing_unit")
    refuse_unsupported(params, "regroup_paid_fees", "group_properties", "accepts_target_wallet")
    if params.get("invoiceable") is False:
        raise unsupported("charges that are not invoiceable")
    metric = _metric(call, params.get("billable_metric_id") or (known or {}).get("lago_billable_metric_id"))
    model = _model(params.get("charge_model") or (known or {}).get("charge_model"), metric)
    now = call.lago.now()
    filters = params.get("filters")
    return {
        "lago_id": known["lago_id"] if known else new_id(),
        "lago_billable_metric_id": metric["lago_id"],
        "billable_metric_code": metric["code"],
        "code": known["code"] if known else _code(params, metric, codes),
        "invoice_display_name": params.get("invoice_display_name"),
        "created_at": known["created_at"] if known else format_instant(now),
        "charge_model": model,
        "properties": _properties(model, metric, params.get("properties")),
        "filters": known["filters"]
        if known and filters is None
        else _filters(model, metric, filters or [], known["filters"] if known else [], now),
        "updated_at": now,
    }


def render_charge(charge: Thing) -> dict[str, Any]:
    """Return a charge as Lago serializes it."""
    return {
        **{name: value for name, value in charge.items() if name != "updated_at"},
        "invoiceable": True,
        "regroup_paid_fees": None,
        "pay_in_advance": False,
        "prorated": False,
        "min_amount_cents": 0,
        "applied_pricing_unit": None,
        "lago_parent_id": None,
        "filters": [render_filter(charge, one) for one in charge["filters"]],
        "taxes": [],
    }


def check_metrics(call: Call, charges: Iterable[Mapping[str, Any]]) -> None:
    """Refuse charges of which any names a metric that is unknown.

    Raises:
        RefusalError: 404 `billable_metrics_not_found`.
    """
    named = {str(params["billable_metric_id"]) for params in charges if params.get("billable_metric_id")}
    if named - {metric["lago_id"] for metric in call.store.things(call.organization, METRIC)}:
        raise not_found("billable_metrics")


def make_filter(call: Call, charge: Thing, params: Mapping[str, Any]) -> Thing:
    """Return one more filter for a charge.

    Raises:
        RefusalError: 422, the values are missing or not the metric's, or the properties are wrong.
    """
    refuse({} if params.get("values") else {"values": ["value_is_mandatory"]})
    metric = call.store.thing(charge["lago_billable_metric_id"])
    [made] = _filters(charge["charge_model"], metric, [params], [], call.lago.now())
    return made


def change_filter(call: Call, charge: Thing, known: Thing, params: Mapping[str, Any]) -> Thing:
    """Return a filter with another name or other properties; its values stay.

    Raises:
        RefusalError: 422, the properties are wrong.
    """
    changed = known | {"updated_at": call.lago.now()}
    if "invoice_display_name" in params:
        changed["invoice_display_name"] = params["invoice_display_name"]
    if "properties" in params:
        metric = call.store.thing(charge["lago_billable_metric_id"])
        changed["properties"] = _properties(charge["charge_model"], metric, params["properties"])
    return changed


def render_filter(charge: Thing, one: Thing) -> dict[str, Any]:
    """Return a filter of a charge as Lago serializes it."""
    return {
        "lago_id": one["lago_id"],
        "charge_code": charge["code"],
        "invoice_display_name": one["invoice_display_name"],
        "properties": one["properties"],
        "values": one["values"],
    }


def drop_metric(plan: Thing, metric: Thing) -> Thing:
    """Return the plan without the charges for a metric."""
    kept = [charge for charge in plan["charges"] if charge["lago_billable_metric_id"] != metric["lago_id"]]
    return plan | {"charges": kept}


def trim_filters(plan: Thing, metric: Thing, now: int) -> Thing:
    """Return the plan without the filter values that its metric no longer declares."""
    declared = {one["key"]: one["values"] for one in metric["filters"]}
    charges = []
    for charge in plan["charges"]:
        if charge["lago_billable_metric_id"] != metric["lago_id"]:
            charges.append(charge)
            continue
        filters = []
        for one in charge["filters"]:
            values = {
                key: [value for value in wanted if value in (ALL_VALUES, *declared.get(key, []))]
                for key, wanted in one["values"].items()
                if key in declared
            }
            values = {key: wanted for key, wanted in values.items() if wanted}
            if values:
                filters.append(one if values == one["values"] else one | {"values": values, "updated_at": now})
        charges.append(charge if filters == charge["filters"] else charge | {"filters": filters, "updated_at": now})
    return plan | {"charges": charges}


def _metric(call: Call, lago_id: Any) -> Thing:
    for metric in call.store.things(call.organization, METRIC):
        if metric["lago_id"] == lago_id:
            return metric
    raise not_found(METRIC)


def _model(model: Any, metric: Thing) -> str:
    if model in _NOT_HERE:
        raise unsupported(f"charge_model {model}")
    if model not in PROPERTIES:
        raise invalid({"charge_model": ["value_is_invalid" if model else "value_is_mandatory"]})
    if model in _SUM_ONLY and metric["aggregation_type"] != "sum_agg":
        raise invalid({"charge_model": ["invalid_aggregation_type_or_charge_model"]})
    return str(model)


def _code(params: Mapping[str, Any], metric: Thing, codes: list[str]) -> str:
    """Return the charge's code: the one asked for, or the metric's, numbered if need be."""
    if code := params.get("code"):
        if code in codes:
            raise invalid({"code": ["value_already_exist"]})
        return str(code)
    code, number = metric["code"], 1
    while code in codes:
        number += 1
        code = f"{metric['code']}_{number}"
    return str(code)


def _properties(model: str, metric: Thing, given: Any) -> dict[str, Any]:
    """Return the properties that the model knows, or its default ones; Lago drops all others."""
    given = given if isinstance(given, dict) and given else deepcopy(dict(DEFAULTS[model]))
    refuse_unsupported(given, "presentation_group_keys", "per_transaction_min_amount", "per_transaction_max_amount")
    properties = {name: given[name] for name in (*PROPERTIES[model], *GROUP_KEYS) if name in given}
    if codes := property_errors(model, properties, aggregation=metric["aggregation_type"]):
        raise invalid({"properties": codes})
    if keys := group_keys(properties):
        properties |= dict.fromkeys(GROUP_KEYS, keys)
    return properties


def _filters(model: str, metric: Thing, given: list[Any], known: list[Thing], now: int) -> list[Thing]:
    """Return a charge's filters; one with the values of a known filter keeps its `lago_id`."""
    filters = []
    for params in given:
        values = {key: list(wanted) for key, wanted in (params.get("values") or {}).items()}
        refuse(_value_errors(values, metric))
        same = next((one for one in known if one["values"] == values), None)
        filters.append(
            {
                "lago_id": same["lago_id"] if same else new_id(),
                "invoice_display_name": params.get("invoice_display_name"),
                "properties": _properties(model, metric, params.get("properties")),
                "values": values,
                "updated_at": now,
            }
        )
    return filters


def _value_errors(values: Mapping[str, list[str]], metric: Thing) -> Errors:
    declared = {one["key"]: one["values"] for one in metric["filters"]}
    for key, wanted in values.items():
        errors: Errors = {} if key in declared else {"billable_metric_filter": ["relation_must_exist"]}
        if not wanted:
            errors["values"] = ["value_is_mandatory"]
        elif wanted != [ALL_VALUES] and not set(wanted) <= set(declared.get(key, [])):
            errors["values"] = ["value_is_invalid"]
        if errors:
            return errors
    return {}
