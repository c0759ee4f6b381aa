"""From events to units: how each kind of billable metric aggregates what happened in a period.

Which events have a number to count is the store's rule. Postgres takes a property whose text is a plain number
(`"0.5"`, not `".5"`, `"5e-1"` or `true`) and skips every other event; ClickHouse counts a zero for it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Decimal,
)
from fractions import Fraction
from typing import Any, NamedTuple

from reconciler.sandbox.grammar import EXACT, SECOND, exact_sum, property_text
from reconciler.sandbox.schedule.periods import Period
from reconciler.sandbox.stores.store import Thing

_ZERO = Decimal(0)
_ONE = Decimal(1)
_DAY = 86_400 * SECOND
_WEIGHTED_PLACES = 20

_ROUNDING = {"round": ROUND_HALF_UP, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}


class Sample(NamedTuple):
    """An event as aggregations see it: its instants, its properties (fractions as `Decimal`) and its cents."""

    timestamp: int
    created_at: int
    properties: Mapping[str, Any]
    cents: Decimal


class Aggregate(NamedTuple):
    """What a metric makes of events.

    Attributes:
        units: the quantity that is priced.
        events: how many events count, in Lago's own way of counting them.
        total: for weighted sums, what they have come to at the end; otherwise the units.
        values: what each event added, oldest first, for metrics that add up.
        cents: the sum of what the events say that they cost.
    """

    units: Decimal
    events: int
    total: Decimal
    values: Sequence[Decimal]
    cents: Decimal


def ignores_start(metric: Thing) -> bool:
    """Tell whether the metric counts from the beginning of all events: recurring sums and unique counts do."""
    return metric["recurring"] and metric["aggregation_type"] in {"sum_agg", "unique_count_agg"}


def aggregate(
    metric: Thing,
    samples: Sequence[Sample],
    number: Callable[[Any], Decimal | None],
    whole: Period,
    *,
    start: int,
    initial: Decimal = _ZERO,
) -> Aggregate:
    """Aggregate events.

    Args:
        metric: the billable metric.
        samples: the events of its code in the period, oldest first.
        number: the store's rule, see `Store.counted_number`.
        whole: the whole billing period, over which a weighted sum is spread.
        start: where counting starts in it.
        initial: what a recurring weighted sum had come to before.
    """
    kind, field = metric["aggregation_type"], metric["field_name"]
    if kind == "count_agg":
        return _rounded(metric, Decimal(len(samples)), len(samples), values=[_ONE] * len(samples))
    if kind == "unique_count_agg":
        unique = _unique_count((property_text(one.properties.get(field)), _operation(one)) for one in samples)
        return _rounded(metric, Decimal(unique), unique, values=[_ONE] * max(unique, 0))
    numbers = [(one, value) for one in samples if (value := number(one.properties.get(field))) is not None]
    values = [value for _, value in numbers]
    match kind:
        case "max_agg":
            return _rounded(metric, max(values, default=_ZERO), len(values))
        case "latest_agg":
            return _rounded(metric, max(values[-1], _ZERO) if values else _ZERO, len(values))
        case "weighted_sum_agg":
            steps = [(start, initial), *((one.timestamp, value) for one, value in numbers)]
            total = exact_sum([initial, *values])
            return _rounded(metric, _weighted(steps, whole), len(values), total=total)
        case _:
            cents = exact_sum(one.cents for one, _ in numbers)
            return _rounded(metric, exact_sum(values), len(values), values=values, cents=cents)


def _rounded(
    metric: Thing,
    units: Decimal,
    events: int,
    *,
    total: Decimal | None = None,
    values: Sequence[Decimal] = (),
    cents: Decimal = _ZERO,
) -> Aggregate:
    """Round the units as the metric says, a negative precision meaning tens, hundreds and so on."""
    if metric["rounding_function"]:
        place = _ONE.scaleb(-(metric["rounding_precision"] or 0))
        units = units.quantize(place, _ROUNDING[metric["rounding_function"]], EXACT) + 0
    return Aggregate(units, events, units if total is None else total, values, cents)


def _operation(sample: Sample) -> str:
    text = property_text(sample.properties.get("operation_type"))
    return "add" if text is None else text


def _unique_count(operations: Iterable[tuple[str | None, str]]) -> int:
    """Count the values that are present: added and not removed since. Events without the property share one."""
    present: dict[str | None, bool] = defaultdict(bool)
    for value, operation in operations:
        present[value] = operation == "add"
    return sum(present.values())


def _weighted(steps: Sequence[tuple[int, Decimal]], whole: Period) -> Decimal:
    """Return the average over the period of a sum that changes by each step, rounded up to 20 places."""
    end = whole.end + 1
    held, area = Fraction(0), Fraction(0)
    for (instant, change), following in zip(steps, [*(instant for instant, _ in steps[1:]), end], strict=True):
        held += Fraction(change)
        area += held * max(following - instant, 0)
    days = round((end - whole.start) / _DAY)
    scaled = area / (days * _DAY) * 10**_WEIGHTED_PLACES
    return Decimal(-(-scaled.numerator // scaled.denominator)).scaleb(-_WEIGHTED_PLACES, EXACT)
