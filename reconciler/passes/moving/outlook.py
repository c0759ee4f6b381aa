"""What Lago will count of a move, as far as it can be asked: by its metric, its plans and its invoices."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from reconciler.capture.misplaced import Moment
from reconciler.delivery.periods import Periods
from reconciler.lago.client import Lago
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.model.errors import LagoError
from reconciler.model.money import total
from reconciler.model.visible import brief
from reconciler.report.move import Doubt
from reconciler.settings.meter import ClosedPeriod

SUMS = {"sum_agg", "weighted_sum_agg"}
"""Kinds of metrics by which an event below zero takes away what another has added."""


def metrics(lago: Lago, codes: Collection[str]) -> Iterator[str]:
    """See that the metrics of these codes let an event below zero take usage away; say what can't be known.

    Raises:
        LagoError: one does not, or there is none.
    """
    for code in codes:
        try:
            metric = lago.metric(code)
        except NotPermittedError:
            yield (
                f"The API key may not read Lago's billable metrics: whether {code!r} is a sum, which alone lets an "
                "event below zero take usage away, is not known."
            )
            continue
        if metric is None:
            raise LagoError(f"Lago has no billable metric {code!r}, so that it counts nothing: make it first.")
        if (kind := metric.get("aggregation_type")) not in SUMS:
            raise LagoError(
                f"Lago's metric {code!r} is no sum ({brief(str(kind), 50)}): no event takes away what another has "
                "added. Nothing was done; correct the invoices of both subscriptions in Lago."
            )
        if metric.get("expression"):
            yield (
                f"Lago computes what it counts of {code!r} by an expression: usage is moved exactly only if that "
                "is in proportion to our properties."
            )


def uncounted(periods: Periods, moments: Sequence[Moment]) -> list[Doubt]:
    """What Lago will not count since it has invoiced the period, or never will, by subscription and reason.

    Raises:
        NotPermittedError: the key may not read subscriptions.
    """
    costs: dict[tuple[str, bool, str], list[Decimal]] = defaultdict(list)
    events: dict[tuple[str, bool, str], int] = defaultdict(int)
    for each in moments:
        verdict = periods.verdict(each.subscription, datetime.fromtimestamp(float(each.stamp), UTC))
        if verdict is not None and verdict.goes:
            continue
        key = each.subscription, each.takes_back, verdict.words if verdict else "Lago can't be asked about it"
        costs[key].append(each.cost)
        events[key] += each.events
    return [
        Doubt(name, takes_back, why, *_fate(periods.rule, takes_back=takes_back), events[name, takes_back, why], sum_)
        for (name, takes_back, why), some in costs.items()
        for sum_ in [total(some)]
    ]


def in_advance(lago: Lago, codes: Collection[str], moments: Sequence[Moment]) -> list[Doubt]:
    """What Lago has made fees of already, as a charge for it is paid in advance. What can't be asked is left out."""
    found = []
    for name in dict.fromkeys(each.subscription for each in moments if each.takes_back):
        if (plan := _plan_in_advance(lago, name, codes)) is not None:
            some = [each for each in moments if each.takes_back and each.subscription == name]
            why = (
                f"a charge of its plan {brief(plan, 100)!r} is paid in advance, so that each event has its fee already"
            )
            cure = "Give a credit note for these fees in Lago."
            events, cost = sum(each.events for each in some), total(each.cost for each in some)
            found.append(Doubt(name, True, why, "sent, and may credit nothing", cure, events, cost))  # noqa: FBT003
    return found


def _plan_in_advance(lago: Lago, name: str, codes: Collection[str]) -> str | None:
    """The plan of a subscription, if a charge of it for these codes is paid in advance."""
    try:
        subscription = lago.subscription(name) or {}
        code = subscription.get("plan_code")
        plan = lago.plan(code) if isinstance(code, str) else None
    except (CantBeAskedError, NotPermittedError):
        return None
    charges = (plan or {}).get("charges")
    for charge in charges if isinstance(charges, list) else ():
        if isinstance(charge, dict) and charge.get("billable_metric_code") in codes and charge.get("pay_in_advance"):
            return str(code)
    return None


def _fate(rule: ClosedPeriod, *, takes_back: bool) -> tuple[str, str]:
    """What becomes of events that Lago will not count, and what to do."""
    if rule == "send":
        return (
            "sent, and counted nowhere",
            "Give a credit note in Lago." if takes_back else "Invoice it in Lago by hand.",
        )
    if takes_back:
        return "held", "Give a credit note for it in Lago, then `reconcile held discard` the event."
    if rule == "move":
        return "moved to the present period", "Nothing is to be done."
    return "held", "`reconcile held release --move` bills it in the present period."
