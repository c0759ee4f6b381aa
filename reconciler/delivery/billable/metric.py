"""Does a billable metric count what our events hold? Pure. Facts: lago section 6.3 and 7."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from reconciler.lago.shown import CALLBACKS_TOKENS
from reconciler.report.unbillable import Unbillable
from reconciler.report.usage import Usage
from reconciler.settings.meter import MeterSettings

COST = "response_cost"
DOCUMENTED = ("input_tokens", "output_tokens")
CALLBACK = CALLBACKS_TOKENS
REQUESTS = "requests"

OF_EACH_EVENT = frozenset({"model", COST, REQUESTS, "customer", "meter", "window", "revision"})
"""What events hold whatever RECONCILE_PROPERTIES says."""

CENTS = 2
"""Lago rounds each fee to so many decimals anyway: a cost that is rounded to no fewer comes to the same bill."""

_ASKED_FOR = re.compile(r"event\.properties\.([A-Za-z][A-Za-z0-9_]*)")

OF_INPUT = frozenset({"input_tokens", "prompt_tokens"})
OF_OUTPUT = frozenset({"output_tokens", "completion_tokens"})


def measures(meter: MeterSettings) -> tuple[str, ...]:
    """The properties of a meter's events that say how much was used: its cost and tokens."""
    documented = DOCUMENTED if meter.properties != "callback" else ()
    return (COST, *documented, *(CALLBACK if meter.properties != "documented" else ()))


def countable(meter: MeterSettings) -> set[str]:
    """All properties of a meter's events that a metric may sum."""
    return {*measures(meter), REQUESTS}


def metric_fault(metric: Mapping[str, Any], fits: Collection[str], has: Collection[str] | None = None) -> str | None:
    """Why a metric would not count our events as they are, a phrase; None if it does.

    Args:
        metric: as Lago shows it.
        fits: the properties of which it may sum one.
        has: the properties with numbers that events have, if that is more.
    """
    counts = metric.get("field_name")
    if (aggregation := metric.get("aggregation_type")) != "sum_agg":
        return f"aggregates by {aggregation}, not by sum_agg: it would not add usage up"
    if metric.get("recurring"):
        return "is recurring: it would bill usage again in each period"
    if expression := metric.get("expression"):
        asked = _ASKED_FOR.findall(str(expression))
        strange = [name for name in asked if name not in {*(has or fits), *OF_EACH_EVENT}]
        return f"computes by the property {strange[0]!r}, without which Lago refuses an event" if strange else None
    if counts not in fits:
        return f"sums the property {counts!r}, not {' or '.join(sorted(fits))}"
    if rounding := metric.get("rounding_function"):
        decimals = _number(metric.get("rounding_precision"))
        if decimals < (CENTS if counts == COST else 0):
            return f"rounds what it counts ({rounding}, to {decimals} decimals), so it would not count what was used"
    return None


def _number(told: object) -> int:
    return told if isinstance(told, int) else 0


def counted(metric: Mapping[str, Any]) -> str | None:
    """The property that a metric sums; None if Lago computes it by an expression."""
    return None if metric.get("expression") else str(metric.get("field_name"))


def unbillable(meter: MeterSettings, metric: Mapping[str, Any] | None, usage: Mapping[str, Usage]) -> Unbillable | None:
    """All usage of a meter, if its metric does not count it, or if there is none; None if it does."""
    code = repr(meter.event_code)
    if metric is None:
        what = f"under the code {code}, for which Lago has no billable metric"
        cure = "Mend LAGO_API_EVENT_CODE, or make the metric: `reconcile setup`."
        return Unbillable("no metric", meter.name, what, cure, usage)
    if fault := metric_fault(metric, countable(meter)):
        cure = "Mend it in Lago, or make another and name it by LAGO_API_EVENT_CODE."
        return Unbillable("metric", meter.name, f"for the metric {code}, which {fault}", cure, usage)
    return None
