"""Charge models: what units cost, and which properties a model needs.

Amounts are decimal text in the plan's currency (`"0.03"`), never JSON numbers, which lose digits on the way.
Everything is computed exactly; rounding to the currency comes once for each fee (`fees.py`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from itertools import accumulate
from typing import Any, NamedTuple

from reconciler.sandbox.grammar import EXACT

_ZERO = Decimal(0)
_HUNDREDTH = Decimal("0.01")
_AMOUNT = re.compile(r"\+?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")

GROUP_KEYS = ("pricing_group_keys", "grouped_by")
PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "standard": ("amount",),
    "package": ("amount", "free_units", "package_size"),
    "percentage": ("rate", "fixed_amount", "free_units_per_events", "free_units_per_total_aggregation"),
    "graduated": ("graduated_ranges",),
    "volume": ("volume_ranges",),
    "dynamic": (),
}
_ONE_RANGE = [{"from_value": 0, "to_value": None, "per_unit_amount": "0", "flat_amount": "0"}]
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "standard": {"amount": "0"},
    "package": {"amount": "0", "free_units": 0, "package_size": 1},
    "percentage": {"rate": "0"},
    "graduated": {"graduated_ranges": _ONE_RANGE},
    "volume": {"volume_ranges": _ONE_RANGE},
    "dynamic": {},
}


class Usage(NamedTuple):
    """What is to be priced.

    Attributes:
        units: how much, already rounded as the metric says.
        events: how many events made it up.
        values: what each of them added, oldest first; for metrics that add up.
        cents: the sum of the events' `precise_total_amount_cents`.
    """

    units: Decimal
    events: int
    values: Sequence[Decimal]
    cents: Decimal


def property_errors(model: str, properties: Mapping[str, Any], *, aggregation: str) -> list[str]:
    """Return Lago's codes for what is wrong with a charge's properties, none if all is well."""
    errors = _CHECKS[model](properties)
    if model == "percentage" and aggregation == "latest_agg":
        errors.append("invalid_value")
    keys = group_keys(properties)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
        errors.append("invalid_type")
    return errors


def group_keys(properties: Mapping[str, Any]) -> list[str]:
    """Return the properties of events by which units are priced apart; `grouped_by` is their old name."""
    keys: list[str] = properties.get("pricing_group_keys") or properties.get("grouped_by") or []
    return keys


def price(model: str, properties: Mapping[str, Any], usage: Usage, decimals: int) -> Decimal:
    """Return what the usage costs, in the currency's main unit, exactly; negative for negative units.

    Args:
        model: a key of `PROPERTIES`.
        properties: valid ones of that model.
        usage: what is to be priced.
        decimals: how many the currency has.
    """
    match model:
        case "standard":
            return EXACT.multiply(usage.units, Decimal(properties["amount"]))
        case "package":
            return _package(properties, usage.units)
        case "percentage":
            return _percentage(properties, usage)
        case "graduated":
            return _graduated(properties["graduated_ranges"], usage.units)
        case "volume":
            return _volume(properties["volume_ranges"], usage.units)
        case _:
            return usage.cents.scaleb(-decimals, EXACT) if usage.units else _ZERO


def _package(properties: Mapping[str, Any], units: Decimal) -> Decimal:
    paid = EXACT.subtract(units, Decimal(properties["free_units"]))
    if paid < 0:
        return _ZERO
    whole, rest = EXACT.divmod(paid, Decimal(properties["package_size"]))
    return EXACT.multiply(whole + 1 if rest else whole, Decimal(properties["amount"]))


def _percentage(properties: Mapping[str, Any], usage: Usage) -> Decimal:
    """Price a share of the units and a fixed amount for each event, after the free events or units."""
    free_events = properties.get("free_units_per_events") or 0
    free_total = Decimal(properties.get("free_units_per_total_aggregation") or 0)
    running = _running_totals(usage.values, free_events, free_total)
    free_units = running[-1] if running else _ZERO
    if free_total:
        free_units = min(free_units, free_total)
    counts = {free_events, sum(total < free_total for total in running)} - {0}
    free_count = min(counts, default=0)

    amount = _ZERO
    if free_units <= usage.units:
        share = EXACT.multiply(Decimal(properties["rate"]), _HUNDREDTH)
        amount = EXACT.multiply(EXACT.subtract(usage.units, free_units), share)
    if usage.units and usage.events > free_count:
        fixed = Decimal(properties.get("fixed_amount") or 0)
        amount = EXACT.add(amount, EXACT.multiply(fixed, Decimal(usage.events - free_count)))
    return amount


def _running_totals(values: Sequence[Decimal], free_events: int, free_total: Decimal) -> list[Decimal]:
    """Return the sums so far after each event that may be free; the first to pass the free total is the last."""
    totals = accumulate(values, EXACT.add)
    if free_events:
        return [total for _, total in zip(range(free_events), totals, strict=False)]
    passed: list[Decimal] = []
    if free_total:
        for total in totals:
            passed.append(total)
            if total > free_total:
                break
    return passed


def _graduated(ranges: Sequence[Mapping[str, Any]], units: Decimal) -> Decimal:
    """Price each range's units by its own price, and its flat amount once it is reached."""
    amount = _ZERO
    for one in ranges:
        top = units if one["to_value"] is None else min(units, Decimal(one["to_value"]))
        inside = top if one["from_value"] == 0 else top - one["from_value"] + 1
        if inside:
            flat = Decimal(one["flat_amount"])
            amount = EXACT.add(amount, EXACT.fma(inside, Decimal(one["per_unit_amount"]), flat))
        if one["to_value"] is None or one["to_value"] >= units:
            break
    return amount


def _volume(ranges: Sequence[Mapping[str, Any]], units: Decimal) -> Decimal:
    """Price all units by the range they fall in; the first range's flat amount is due even for none."""
    reached = units.to_integral_value(ROUND_CEILING)
    for one in ranges:
        if one["from_value"] <= reached and (one["to_value"] is None or units <= one["to_value"]):
            return EXACT.fma(units, Decimal(one["per_unit_amount"]), Decimal(one["flat_amount"]))
    return _ZERO


# -- checks of properties


def _is_amount(value: Any) -> bool:
    return isinstance(value, str) and _AMOUNT.fullmatch(value) is not None


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _standard_errors(properties: Mapping[str, Any]) -> list[str]:
    return [] if _is_amount(properties.get("amount")) else ["invalid_amount"]


def _package_errors(properties: Mapping[str, Any]) -> list[str]:
    checks = {
        "invalid_amount": _is_amount(properties.get("amount")),
        "invalid_free_units": _is_integer(properties.get("free_units"), 0),
        "invalid_package_size": _is_integer(properties.get("package_size"), 1),
    }
    return [code for code, well in checks.items() if not well]


def _percentage_errors(properties: Mapping[str, Any]) -> list[str]:
    def absent(name: str) -> bool:
        return properties.get(name) is None

    total = "free_units_per_total_aggregation"
    checks = {
        "invalid_rate": _is_amount(properties.get("rate")),
        "invalid_fixed_amount": absent("fixed_amount") or _is_amount(properties["fixed_amount"]),
        "invalid_free_units_per_events": absent("free_units_per_events")
        or _is_integer(properties["free_units_per_events"], 1),
        f"invalid_{total}": absent(total) or _is_amount(properties[total]),
    }
    return [code for code, well in checks.items() if not well]


def _range_errors(ranges: Any, name: str) -> list[str]:
    """Check that ranges follow one another from 0 without a gap, and that the last has no end."""
    if not isinstance(ranges, list) or not ranges:
        return [f"missing_{name}"]
    errors: list[str] = []
    following = 0
    for position, one in enumerate(ranges):
        errors += ["invalid_amount" for part in ("per_unit_amount", "flat_amount") if not _is_amount(one.get(part))]
        start, end, last = one.get("from_value"), one.get("to_value"), position == len(ranges) - 1
        if start != following or (end is not None if last else not _is_integer(end, following + 1)):
            errors.append(f"invalid_{name}")
            break
        following = (end or 0) + 1
    return errors


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "standard": _standard_errors,
    "package": _package_errors,
    "percentage": _percentage_errors,
    "graduated": lambda properties: _range_errors(properties.get("graduated_ranges"), "graduated_ranges"),
    "volume": lambda properties: _range_errors(properties.get("volume_ranges"), "volume_ranges"),
    "dynamic": lambda _properties: [],
}
