"""Current usage: what a subscription's open period comes to so far, by charge, filter and pricing group."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.sandbox.billing.invoicing import charge_usage
from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import exact_sum, format_instant, ruby_decimal
from reconciler.sandbox.reckoning.cache import Stream
from reconciler.sandbox.reckoning.fees import Fee
from reconciler.sandbox.refusals import not_allowed, not_found, unsupported
from reconciler.sandbox.resources.catalog import CUSTOMER, SUBSCRIPTION, premium
from reconciler.sandbox.resources.subscriptions import schedule_of
from reconciler.sandbox.schedule.periods import lived
from reconciler.sandbox.stores.store import Thing

_CHARGE_FILTERS = (
    ("lago_id", "charge_id", "filter_by_charge_id"),
    ("code", "charge_code", "filter_by_charge_code"),
    ("billable_metric_code", "billable_metric_code", "filter_by_metric_code"),
)
"""A charge's field, and the parameter that asks for it by a new and an old name; of several the first counts alone."""


def current_usage(call: Call) -> dict[str, Any]:
    """GET /customers/:external_id/current_usage: one active subscription's current period, by charge."""
    if not call.store.things(call.organization, CUSTOMER, call.path["external_id"]):
        raise not_found("resource")
    subscription = _active_subscription(call)
    if call.query.get("full_usage") == "true":
        raise not_allowed("full_usage_not_allowed")
    if call.query.get("filter_by_presentation"):
        raise unsupported("filter_by_presentation")
    plan = call.store.thing(subscription["plan_id"])
    now = max(call.lago.now(), subscription["started_at"])
    whole = schedule_of(call.store, call.organization, subscription).holding(now)
    period = lived(whole, subscription)
    group = _group(call)

    fees: list[Fee] = []
    for charge in _wanted_charges(call, plan):
        usage = charge_usage(call, subscription, plan, charge, whole, period, only=group)
        stream = Stream(call.organization, subscription["external_id"], charge["billable_metric_code"])
        for chosen in usage.filters:
            if group or call.store.name == "clickhouse":  # which validates what is cached when it is read
                fees += usage.fees(chosen)
            else:
                fees += call.lago.cache.fees(
                    stream, subscription, charge, chosen, now=now, expires_at=period.end, reckon=usage.fees
                )
    amount = sum(fee.cents for fee in fees)
    usage_object = {
        "from_datetime": format_instant(period.start),
        "to_datetime": format_instant(period.end),
        "issuing_date": format_instant(period.end)[:-10],
        "currency": plan["amount_currency"],
        "amount_cents": amount,
        "total_amount_cents": amount,
        "taxes_amount_cents": 0,
        "lago_invoice_id": None,
        "charges_usage": render_charges(fees),
    }
    return {"customer_usage": usage_object}


def projected_usage(_call: Call) -> dict[str, Any]:
    """GET /customers/:external_id/projected_usage: needs Lago's licence."""
    raise premium("projected_usage_not_enabled")


def render_charges(fees: Iterable[Fee]) -> list[dict[str, Any]]:
    """Return the fees of charges as Lago lists usage: one entry a charge, by the metric's name."""
    by_charge: dict[str, list[Fee]] = {}
    for fee in fees:
        by_charge.setdefault(fee.item["lago_id"], []).append(fee)
    return [
        _render_charge(mine) for mine in sorted(by_charge.values(), key=lambda fees: fees[0].metric["name"].lower())
    ]


def _render_charge(fees: Sequence[Fee]) -> dict[str, Any]:
    first = fees[0]
    groups: dict[tuple[Any, ...], list[Fee]] = {}
    for fee in fees:
        groups.setdefault(tuple(fee.grouped_by.items()), []).append(fee)
    return {
        **_sums(fees),
        "amount_currency": first.currency,
        "charge": {name: first.item[name] for name in ("lago_id", "code", "charge_model", "invoice_display_name")},
        "billable_metric": first.metric,
        "filters": _render_filters(fees),
        "grouped_usage": [
            {**_sums(mine), "grouped_by": mine[0].grouped_by, "filters": _render_filters(mine)}
            for mine in groups.values()
        ]
        if any(fee.grouped_by for fee in fees)
        else [],
    }


def _render_filters(fees: Sequence[Fee]) -> list[dict[str, Any]]:
    """Return the fees by filter, what matched none of them under `"values": null`."""
    if not fees[0].item["has_filters"]:
        return []
    by_filter: dict[str | None, list[Fee]] = {}
    for fee in fees:
        by_filter.setdefault(fee.filter["lago_id"] if fee.filter else None, []).append(fee)
    return [
        {
            **_sums(mine),
            "invoice_display_name": mine[0].filter["invoice_display_name"] if mine[0].filter else None,
            "values": mine[0].filter["values"] if mine[0].filter else None,
        }
        for mine in by_filter.values()
    ]


def _sums(fees: Sequence[Fee]) -> dict[str, Any]:
    return {
        "units": ruby_decimal(exact_sum(fee.units for fee in fees)),
        "total_aggregated_units": ruby_decimal(exact_sum(fee.total_units for fee in fees)),
        "events_count": sum(fee.events for fee in fees),
        "amount_cents": sum(fee.cents for fee in fees),
        "pricing_unit_details": None,
        "presentation_breakdowns": [],
    }


def _active_subscription(call: Call) -> Thing:
    wanted = call.query.get("external_subscription_id", "")
    for subscription in call.store.things(call.organization, SUBSCRIPTION, wanted):
        mine = subscription["external_customer_id"] == call.path["external_id"]
        if mine and subscription["status"] == "active":
            return subscription
    raise not_allowed("no_active_subscription")


def _wanted_charges(call: Call, plan: Thing) -> list[Thing]:
    charges: list[Thing] = plan["charges"]
    for field, name, old_name in _CHARGE_FILTERS:
        wanted = call.query.get(name, call.query.get(old_name, ""))
        if wanted.strip():
            chosen = [charge for charge in charges if charge[field] == wanted]
            if not chosen:
                raise not_found("charge")
            return chosen
    return charges


def _group(call: Call) -> dict[str, str]:
    """Return the pricing group that the client asks for: `group[model]=gpt-4o`, or its old name, in JSON."""
    group = {
        name.removeprefix("group[").removesuffix("]"): value
        for name, value in call.query.items()
        if name.startswith("group[")
    }
    try:
        old = json.loads(call.query.get("filter_by_group", "{}"))
    except ValueError:
        old = {}
    return group | {str(key): str(value) for key, value in old.items()}
