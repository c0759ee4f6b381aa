"""What Lago counts of events: by which metric, how much, and what it means if that is not what was sent. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from reconciler.lago.shown import decimal
from reconciler.model.money import total
from reconciler.verify.findings import Kind

NO_METRIC = Kind(
    "no metric", drift=True, means="Lago has no billable metric of the event code: nothing is counted. Make it again."
)
NOT_OURS = Kind(
    "not our property",
    drift=True,
    means="The metric counts by a property that no event of ours has: nothing is counted. Correct its field_name.",
)
NO_SUBSCRIPTION = Kind(
    "no subscription",
    drift=True,
    means="Lago knows no subscription of that name. It counts the usage once there is one that reaches back to it.",
)
NO_CHARGE = Kind(
    "no charge", drift=True, means="The plan has no charge for the metric: nothing is counted. Add one to the plan."
)
CANT_BE_ASKED = Kind(
    "can't be asked", drift=True, means="Lago, or a gateway before it, can't be asked about this name."
)
BEHIND = Kind(
    "being counted", drift=False, means="Sent a few minutes ago: Lago's worker may still be at it. Verify again later."
)
STALE = Kind(
    "stale",
    drift=True,
    means="Lago's cache shows too little; the invoice will be right. Its worker is down or lost its queue: restart it. "
    "The next event of a charge refreshes it.",
)
OTHERS = Kind(
    "others count, too", drift=True, means="Events that are not ours count for the same subscription: see leg c."
)
LESS = Kind(
    "counts less",
    drift=True,
    means="Lago counts less than was sent: an event is gone (leg c), or a filter or the subscription leaves it out.",
)
MORE = Kind("counts more", drift=True, means="Lago counts more than was sent: copies on ClickHouse (leg c).")
AWAITED = Kind(
    "awaits its invoice", drift=False, means="The period has just ended, and Lago's biller has not come to it yet."
)
DRAFT = Kind(
    "in a draft", drift=False, means="The invoice is a draft: it takes in what is missing when it is finalized."
)
BILLED_LESS = Kind("billed less", drift=True, means="The final invoice of the period has less than was sent.")
BILLED_MORE = Kind("billed more", drift=True, means="The invoice of the period has more than was sent.")
NOT_BILLED = Kind(
    "in no invoice",
    drift=True,
    means="Used before the subscription began, or in a period that no invoice covers: Lago counts it nowhere.",
)

_MEASURES = {
    "response_cost": "cost",
    "input_tokens": "input",
    "prompt_tokens": "input",
    "output_tokens": "output",
    "completion_tokens": "output",
    "total_tokens": "total",
    "requests": "requests",
}
"""By the names of an event's properties."""

_TEXTS = {"model", "customer", "meter", "window", "revision"}


class Count(NamedTuple):
    """How many events, and their units."""

    events: int
    units: Decimal


NOTHING = Count(0, Decimal())


@dataclass(frozen=True)
class Metric:
    """A billable metric, as far as it is known what it counts.

    Attributes:
        code: its code.
        property: what an event's payload holds if it is counted.
        measure: what is summed of an event, by sql/verify/usage.sql.
        unit: of what is compared.
        compares_units: whether the units are known, or the number of events alone.
    """

    code: str
    property: str
    measure: str
    unit: str
    compares_units: bool

    @classmethod
    def read(cls, code: str, told: Mapping[str, Any]) -> "Metric | None":
        """The metric that Lago shows; None if it counts by a property that is none of ours."""
        kind, field = told.get("aggregation_type"), str(told.get("field_name"))
        if kind == "count_agg":
            return cls(code, '"transaction_id":', "none", "events", compares_units=False)
        if field not in {*_MEASURES, *_TEXTS} or (kind == "sum_agg" and field not in _MEASURES):
            return None
        known = kind == "sum_agg" and not told.get("expression") and not told.get("rounding_function")
        measure = _MEASURES[field] if known else "none"
        unit = ("USD" if measure == "cost" else field) if known else "events"
        return cls(code, f'"{field}":', measure, unit, compares_units=known)

    def value(self, count: Count) -> Decimal:
        """What is compared of a count."""
        return count.units if self.compares_units else Decimal(count.events)

    def agree(self, one: Count, other: Count) -> bool:
        """Whether two counts are the same."""
        return one.events == other.events and self.value(one) == self.value(other)

    def counts(self, charges: Iterable[Mapping[str, Any]]) -> list[Count]:
        """What each charge of this metric counts."""
        ours = [charge for charge in charges if _code(charge) == self.code]
        return [Count(_whole(charge.get("events_count")), decimal(charge.get("units"))) for charge in ours]

    def worst(self, charges: Iterable[Mapping[str, Any]], expected: Count) -> Count | None:
        """Of the charges, each of which counts every event, one that disagrees if any does; None without charges."""
        counts = self.counts(charges)
        return next((count for count in counts if not self.agree(count, expected)), counts[0] if counts else None)


def added(counts: Iterable[Count]) -> Count:
    """Several counts as one."""
    found = list(counts)
    return Count(sum(count.events for count in found), total(count.units for count in found))


def judge(metric: Metric, expected: Count, shown: Count, afresh: Count, *, settled: int) -> Kind | None:
    """What it means that Lago shows something for an active subscription.

    Args:
        metric: by which it counts.
        expected: what was sent.
        shown: what Lago shows, perhaps from its cache.
        afresh: what it counts of our own events, past its cache.
        settled: how many events of these were sent so long ago that Lago has come to them.
    """
    if metric.agree(expected, shown):
        return None
    if settled <= shown.events < expected.events:
        return BEHIND
    if metric.agree(expected, afresh):
        return OTHERS if shown.events > expected.events else STALE
    return MORE if metric.value(afresh) > metric.value(expected) or afresh.events > expected.events else LESS


def judge_billed(metric: Metric, expected: Count, billed: Count, status: object) -> Kind | None:
    """What it means that an invoice of a status has something."""
    if metric.agree(expected, billed):
        return None
    if metric.value(billed) > metric.value(expected) or billed.events > expected.events:
        return BILLED_MORE
    return DRAFT if status == "draft" else BILLED_LESS


def judge_unbilled(ended_at: datetime, now: datetime, patience: timedelta) -> Kind:
    """What it means that no invoice has usage of a span that has ended."""
    return AWAITED if now - ended_at < patience else NOT_BILLED


def _code(charge: Mapping[str, Any]) -> object:
    metric = charge.get("billable_metric")
    return metric.get("code") if isinstance(metric, dict) else None


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
