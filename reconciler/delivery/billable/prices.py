"""Would a charge price an event of some model? Pure.

Lago counts an event in the filters of a charge that it matches, of two of them in the one that says more, and else
by the charge's own price. Facts: lago section 6.3 and 7.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from typing import Any

from reconciler.delivery.billable.metric import CALLBACK, DOCUMENTED, OF_EACH_EVENT

Thing = Mapping[str, Any]
Values = Mapping[str, Sequence[str]]

ALL_VALUES = "__ALL_FILTER_VALUES__"
"""The filter value that stands for all that the metric declares."""

_RANGED = frozenset({"graduated", "volume", "graduated_percentage"})
"""Charge models with a price for each range of units."""

_PLACES = 50
"""No price has so many digits before or after its point."""

_UNTOLD = (OF_EACH_EVENT | {*DOCUMENTED, *CALLBACK}) - {"model"}
"""Properties of our events, beside the model, by which one event may match a filter and another one not."""


class Price(IntEnum):
    """What an event may come to; of several charges the greatest holds."""

    NO_CENTS = 0
    """Nothing: the charge is dynamic, and our events don't say their price."""
    NONE = 1
    """Nothing: no filter is for this model, and the charge's own price is zero."""
    FREE = 2
    """Nothing: somebody has set the price to zero."""
    CHARGED = 3
    """Something, or that can't be told."""


def price(charges: Iterable[Thing], metric: Thing, model: str, *, has_cents: bool) -> Price:
    """What events of a model come to by some charges on one metric, at least one.

    Args:
        charges: as Lago shows them.
        metric: the metric, with the values of filters that it declares.
        model: the event's property `model`.
        has_cents: whether events have `precise_total_amount_cents`.
    """
    return max(_price(charge, _declared(metric), model, has_cents=has_cents) for charge in charges)


def charges_on(plan: Thing, code: str) -> list[Thing]:
    """The charges of a plan on the metric of a code."""
    return [charge for charge in _things(plan.get("charges")) if charge.get("billable_metric_code") == code]


def strange_keys(charges: Iterable[Thing]) -> list[str]:
    """The properties that filters of some charges ask for and no event of ours has: such a filter matches nothing."""
    values = (one.get("values") for charge in charges for one in _things(charge.get("filters")))
    keys = {str(key)[:100] for one in values if isinstance(one, dict) for key in one}
    return sorted(keys - _UNTOLD - {"model"})


def rates(charges: Iterable[Thing]) -> set[Decimal]:
    """What a unit costs by some charges, in the currency of their plan: each price that is one, and can be told."""
    found: set[Decimal] = set()
    for charge in charges:
        unit = charge.get("applied_pricing_unit")
        exchange = _decimal(unit.get("conversion_rate")) if isinstance(unit, dict) else Decimal(1)
        for priced in (charge, *_things(charge.get("filters"))):
            properties = priced.get("properties")
            of_unit = _per_unit(str(charge.get("charge_model")), properties if isinstance(properties, dict) else {})
            found |= {(each * exchange).normalize() for each in of_unit if each and exchange}
    return found


def _price(charge: Thing, declared: Values, model: str, *, has_cents: bool) -> Price:
    kind = str(charge.get("charge_model"))
    filters = [one for one in _things(charge.get("filters")) if isinstance(one.get("values"), dict)]
    values = [_values(one["values"], declared) for one in filters]
    matching = [number for number, one in enumerate(values) if _matches(one, model)]
    if any(not one.keys() <= {"model"} for one in (values[number] for number in matching)):
        return Price.CHARGED  # it depends on more than the model
    kept = [number for number in matching if not any(_takes(values, other, number) for other in matching)]
    if kind == "dynamic":
        return Price.CHARGED if has_cents else Price.NO_CENTS
    if any(_costs(kind, filters[number].get("properties")) for number in kept):
        return Price.CHARGED
    if kept:
        return Price.FREE
    if _costs(kind, charge.get("properties")):
        return Price.CHARGED
    return Price.NONE if filters else Price.FREE


def _values(told: Mapping[str, Any], declared: Values) -> dict[str, Sequence[str]]:
    return {
        key: declared.get(key, ()) if values == [ALL_VALUES] else tuple(map(str, values))
        for key, values in told.items()
        if isinstance(values, list)
    }


def _matches(values: Values, model: str) -> bool:
    """Whether an event of a model may match: a property that our events don't have matches nothing."""
    return all(model in wanted if key == "model" else key in _UNTOLD for key, wanted in values.items())


def _takes(filters: Sequence[Values], other: int, number: int) -> bool:
    """Whether another filter that matches the same event takes it: the older of two alike, else the narrower one."""
    theirs, ours = set(filters[other].get("model", ())), set(filters[number].get("model", ()))
    return other < number if theirs == ours else theirs < ours


def _costs(model: str, properties: object) -> bool:
    """Whether usage may cost something by a charge model with such properties."""
    if not isinstance(properties, dict):
        return False
    names = {
        "standard": ("amount",),
        "package": ("amount",),
        "percentage": ("rate", "fixed_amount", "per_transaction_min_amount"),
    }
    if model in names:
        return any(_is_something(properties.get(name)) for name in names[model])
    if model in _RANGED:
        amounts = ("per_unit_amount", "flat_amount", "rate")
        return any(_is_something(one.get(name)) for one in _ranges(model, properties) for name in amounts)
    return True  # nobody knows


def _is_something(amount: object) -> bool:
    return amount is not None and _decimal(amount) != 0


def _per_unit(model: str, properties: Mapping[str, Any]) -> Iterator[Decimal | None]:
    """What a unit costs by a charge model with such properties, at each of its prices; None if it can't be told."""
    match model:
        case "dynamic":
            yield Decimal(1)
        case "standard":
            yield _decimal(properties.get("amount"))
        case "package":
            amount, size = _decimal(properties.get("amount")), _decimal(properties.get("package_size"))
            yield amount / size if amount and size else None
        case "percentage":
            yield _of_hundred(properties)
        case _ if model in _RANGED:
            for one in _ranges(model, properties):
                yield _of_hundred(one) if "rate" in one else _decimal(one.get("per_unit_amount"))


def _of_hundred(properties: Mapping[str, Any]) -> Decimal | None:
    rate = _decimal(properties.get("rate"))
    return rate and rate / 100


def _ranges(model: str, properties: Mapping[str, Any]) -> list[Thing]:
    return _things(properties.get(f"{model}_ranges"))


def _decimal(told: object) -> Decimal | None:
    try:
        number = Decimal(str(told))
    except InvalidOperation:
        return None
    return number if not number or (number.is_finite() and abs(number.adjusted()) < _PLACES) else None


def _declared(metric: Thing) -> dict[str, Sequence[str]]:
    return {
        str(one.get("key")): tuple(map(str, one["values"]))
        for one in _things(metric.get("filters"))
        if isinstance(one.get("values"), list)
    }


def _things(told: object) -> list[Thing]:
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
