"""What Lago counts: current usage by its own rule, and the stand-in's totals for proofs.

On Postgres an event counts for a sum only if its property's text is a plain number (`"0.5"`, not `".5"`, `"5e-1"`
or `true`); otherwise it is in neither the units nor the events count, and nobody is told. On ClickHouse it counts
as a zero then.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from reconciler.sandbox.call import Call
from reconciler.sandbox.catalog import METRIC, PLAN, find
from reconciler.sandbox.errors import not_allowed, not_found, unsupported
from reconciler.sandbox.grammar import (
    EXACT,
    exact_sum,
    format_instant,
    plain,
    property_text,
    ruby_decimal,
)
from reconciler.sandbox.periods import Period, current_period
from reconciler.sandbox.store import EventFilter, Store, Thing
from reconciler.sandbox.subscriptions import CUSTOMER, SUBSCRIPTION, status

_MILLISECOND = 1000
_ZERO_DECIMAL_CURRENCIES = frozenset({"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"})
_PROPERTIES = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

_Group = tuple[str | None, ...]


def current_usage(call: Call) -> dict[str, Any]:
    """GET /customers/:external_id/current_usage: one active subscription's current period, by charge."""
    if any(name.startswith("group[") or name in {"full_usage", "filter_by_group"} for name in call.query):
        raise unsupported("usage by group and full usage")
    if not call.store.things(call.organization, CUSTOMER, call.path["external_id"]):
        raise not_found("resource")
    subscription = _active_subscription(call)
    plan = find(call, PLAN, subscription["plan_code"])
    period = current_period(subscription, call.lago.now())
    charges = [_charge_usage(call, subscription, plan, charge, period) for charge in _wanted_charges(call, plan)]
    amount = sum(charge["amount_cents"] for charge in charges)
    usage = {
        "from_datetime": format_instant(period.start),
        "to_datetime": format_instant(period.end),
        "issuing_date": format_instant(period.end)[:-10],
        "currency": plan["amount_currency"],
        "amount_cents": amount,
        "total_amount_cents": amount,
        "taxes_amount_cents": 0,
        "lago_invoice_id": None,
        "charges_usage": charges,
    }
    return {"customer_usage": usage}


def totals(store: Store, organization: str) -> list[dict[str, Any]]:
    """Sum every numeric property of all events that count, whatever their subscription, metric, period or plan.

    An event that a ClickHouse without deduplication bills twice is here twice.

    Returns:
        For each subscription, code and property `model`: how many `events`, and their exact `sums` as text.
    """
    events: dict[_Group, int] = defaultdict(int)
    sums: dict[_Group, dict[str, Decimal]] = defaultdict(dict)
    for event in store.counted(EventFilter(organization), dead_letters=True):
        properties = _PROPERTIES.decode(event.properties)
        group = (event.subscription, event.code, property_text(properties.get("model")))
        events[group] += 1
        for name, value in properties.items():
            number = store.number(value)
            if number is not None:
                sums[group][name] = EXACT.add(sums[group].get(name, Decimal(0)), number)
    return [
        {
            "external_subscription_id": subscription,
            "code": code,
            "model": model,
            "events": events[subscription, code, model],
            "sums": {name: plain(total) for name, total in sorted(sums[subscription, code, model].items())},
        }
        for subscription, code, model in sorted(
            events, key=lambda group: [(text is not None, text or "") for text in group]
        )
    ]


def _active_subscription(call: Call) -> Thing:
    now = call.lago.now()
    wanted = call.query.get("external_subscription_id", "")
    for subscription in call.store.things(call.organization, SUBSCRIPTION, wanted):
        mine = subscription["external_customer_id"] == call.path["external_id"]
        if mine and status(subscription, now) == "active":
            return subscription
    raise not_allowed("no_active_subscription")


def _wanted_charges(call: Call, plan: Thing) -> list[Thing]:
    names = {"billable_metric_code": "billable_metric_code", "charge_code": "code", "charge_id": "lago_id"}
    wanted = {names[name]: value for name, value in call.query.items() if name in names}
    charges = [charge for charge in plan["charges"] if all(charge[name] == value for name, value in wanted.items())]
    if wanted and not charges:
        raise not_found("charge")
    return charges


def _charge_usage(call: Call, subscription: Thing, plan: Thing, charge: Thing, period: Period) -> dict[str, Any]:
    metric = find(call, METRIC, charge["billable_metric_code"])
    properties = charge["properties"]
    keys = properties.get("pricing_group_keys") or properties.get("grouped_by") or []
    start = period.start // _MILLISECOND * _MILLISECOND
    events = call.store.counted(
        EventFilter(call.organization, subscription["external_id"], metric["code"], start, period.end)
    )
    groups = _count(call.store, metric, keys, (_PROPERTIES.decode(event.properties) for event in events))
    fees = {group: _fee(numbers, charge, plan) for group, numbers in groups.items()}
    whole = _fee([number for numbers in groups.values() for number in numbers], charge, plan)
    return {
        **whole,
        "amount_cents": sum(fee["amount_cents"] for fee in fees.values()),
        "amount_currency": plan["amount_currency"],
        "charge": {name: charge[name] for name in ("lago_id", "code", "charge_model", "invoice_display_name")},
        "billable_metric": {name: metric[name] for name in ("lago_id", "name", "code", "aggregation_type")},
        "filters": [],
        "grouped_usage": [
            {**fee, "grouped_by": dict(zip(keys, group, strict=True)), "filters": []}
            for group, fee in fees.items()
            if keys
        ],
    }


def _count(
    store: Store, metric: Thing, keys: list[str], events: Iterable[Mapping[str, Any]]
) -> dict[_Group, list[Decimal]]:
    """Return the numbers that count for a metric, by pricing group."""
    groups: dict[_Group, list[Decimal]] = defaultdict(list)
    for properties in events:
        if metric["aggregation_type"] == "count_agg":
            number: Decimal | None = Decimal(1)
        else:
            number = store.counted_number(properties.get(metric["field_name"]))
        if number is not None:
            groups[tuple(property_text(properties.get(key)) for key in keys)].append(number)
    return dict(sorted(groups.items(), key=lambda item: [text or "" for text in item[0]]))


def _fee(numbers: list[Decimal], charge: Thing, plan: Thing) -> dict[str, Any]:
    """Return one fee's units and amount; the amount is rounded to the currency here, and never negative."""
    units = exact_sum(numbers)
    decimals = 0 if plan["amount_currency"] in _ZERO_DECIMAL_CURRENCIES else 2
    amount = EXACT.multiply(units, Decimal(charge["properties"]["amount"])).scaleb(decimals, EXACT)
    return {
        "units": ruby_decimal(units),
        "total_aggregated_units": ruby_decimal(units),
        "events_count": len(numbers),
        "amount_cents": max(int(amount.to_integral_value(ROUND_HALF_UP)), 0),
        "pricing_unit_details": None,
        "presentation_breakdowns": [],
    }
