"""Will Lago still bill an event? A pure function of its moment, its subscriptions and their invoices.

Design, section 7, "Periods". One external id may have had several: an upgrade ends one and begins the next.
Facts: lago sections 4 and 16.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

SECOND = timedelta(seconds=1)
"""So much an end may hide."""

CLOSED_FOR = timedelta(hours=1)
"""So long after a subscription was closed a change of its plan is the one that it was closed for."""

_MILLISECOND = timedelta(milliseconds=1)
_QUARTER = timedelta(milliseconds=250)


@dataclass(frozen=True)
class Subscription:
    """A subscription that has begun. All moments are UTC.

    Attributes:
        created_at: when it was made, which may be later than its start.
        started_at: its begin, in whole milliseconds: the rest is cut off.
        ended_at: its end in whole seconds, the rest cut off; None while it is active.
        period_started_at: the begin of its present period, in whole seconds; None if Lago does not say.
        period_ends_at: the last second of its present period; None if Lago does not say.
        end_is_billed: whether an invoice is made of its end.
        customer: the external id of the customer who has it; None if Lago does not say.
    """

    created_at: datetime
    started_at: datetime
    ended_at: datetime | None = None
    period_started_at: datetime | None = None
    period_ends_at: datetime | None = None
    end_is_billed: bool = True
    customer: str | None = None

    @property
    def present_since(self) -> datetime:
        """From when on usage lies in its present period; an active one's."""
        return max(self.started_at, self.period_started_at or self.started_at)


def spans_of(rows: Iterable[Mapping[str, Any]]) -> list[Subscription]:
    """Subscriptions that have begun, of values as the ledger keeps them; one row may say that there is none."""
    return [
        Subscription(
            created_at=row["created_at"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            period_started_at=row["period_started_at"],
            period_ends_at=row["period_ends_at"],
            end_is_billed=row["on_termination_invoice"] != "skip",
            customer=row["external_customer_id"],
        )
        for row in rows
        if row["status"] != "none"
    ]


@dataclass(frozen=True)
class Billed:
    """A period that has an invoice.

    Attributes:
        since: its begin, in whole seconds.
        until: its last second.
        status: the invoice's, such as `draft` or `finalized`; None if Lago does not show the invoice.
        number: the invoice's.
    """

    since: datetime
    until: datetime
    status: str | None
    number: str


@dataclass(frozen=True)
class Verdict:
    """What becomes of an event.

    Attributes:
        goes: whether Lago bills it, as far as can be known.
        words: if it does not: why, for people.
        final: whether that can't change any more.
    """

    goes: bool
    words: str = ""
    final: bool = False


SEND = Verdict(goes=True)


def judge(at: datetime, subscriptions: Sequence[Subscription], billed: Sequence[Billed] | None) -> Verdict:
    """Say whether Lago will bill an event.

    Args:
        at: the event's timestamp.
        subscriptions: all of its external id that have begun, ended ones included, in any order.
        billed: the periods of that external id that have an invoice, in any order; None if the key may not read them.
    """
    if not subscriptions:
        return SEND  # it counts once there is one that reaches back
    if is_present(at, subscriptions):
        return SEND
    holder = living(at, subscriptions)
    if holder is None:
        return _of_no_one(at, subscriptions)
    if billed is None:
        return SEND
    own = [
        one
        for one in billed
        if one.until >= holder.started_at - SECOND and (holder.ended_at is None or one.since < holder.ended_at)
    ]
    for period in sorted(own, key=lambda one: one.since, reverse=True):
        if period.since <= at < period.until + SECOND:
            return _of_invoice(period)
    if any(period.since > at for period in own):
        return Verdict(goes=False, words="a later period has its invoice, so that no invoice of this one will come")
    return _of_late_biller(at, holder, subscriptions)


def is_present(at: datetime, subscriptions: Sequence[Subscription]) -> bool:
    """Whether a moment lies in the present period of an active subscription."""
    return any(one.ended_at is None and one.present_since <= at for one in subscriptions)


def living(at: datetime, subscriptions: Sequence[Subscription]) -> Subscription | None:
    """The subscription that lived at a moment, the latest of several; None if none did."""
    # An end hides its milliseconds: until the next second, or the next one's begin, it may not have come.
    lived = [
        one for one in subscriptions if one.started_at <= at and not (one.ended_at and at >= one.ended_at + SECOND)
    ]
    return max(lived, key=lambda one: one.started_at, default=None)


def is_replaced(end: datetime, subscriptions: Sequence[Subscription]) -> bool:
    """Whether another subscription began at that end: an upgrade, which is billed whatever was said of the end."""
    return any(end <= one.started_at < end + SECOND for one in subscriptions)


def last_period_since(active: Subscription) -> datetime | None:
    """From when on a moment is in the period before the present one, if that ended after the subscription was made.

    Periods of a kind differ in length by less than a tenth (28 and 31 days).
    """
    start, end = active.period_started_at, active.period_ends_at
    if active.ended_at or start is None or end is None or active.created_at >= start:
        return None
    return start - (end - start) * 9 / 10


def first_sure_stamp(subscriptions: Sequence[Subscription]) -> str | None:
    """The first moment that is surely in the present period, of those that older Lagos keep: quarters of a second.

    As an event has it, in seconds; None without a present period. Facts: lago section 16, "Older Lagos".
    """
    begins = [
        # What is cut off from its milliseconds may be almost one.
        max(one.started_at + _MILLISECOND, one.period_started_at or one.started_at)
        for one in subscriptions
        if one.ended_at is None
    ]
    if not begins:
        return None
    begin = max(begins)
    return f"{(begin + -(begin - datetime.min.replace(tzinfo=UTC)) % _QUARTER).timestamp():.3f}"


def follows_close(at: datetime, instant: datetime, subscriptions: Sequence[Subscription]) -> bool:
    """Whether usage is of the plan that follows: it came after its subscription was closed, which then ended.

    Args:
        at: the event's timestamp.
        instant: up to when the subscription was closed.
        subscriptions: all of its external id that have begun.
    """
    return any(
        one.started_at <= instant < at < one.ended_at + SECOND <= instant + CLOSED_FOR
        for one in subscriptions
        if one.ended_at is not None
    )


def _of_no_one(at: datetime, subscriptions: Sequence[Subscription]) -> Verdict:
    """Nobody was subscribed at that moment."""
    ends = [one.ended_at for one in subscriptions if one.ended_at and one.ended_at < at]
    if ends:
        return Verdict(goes=False, words=f"its subscription ended {_shown(max(ends))} and no invoice will come")
    begin = _shown(min(one.started_at for one in subscriptions))
    words = f"usage before its subscription began ({begin}): made later, so that no invoice covers it"
    return Verdict(goes=False, words=words)


def _of_invoice(period: Billed) -> Verdict:
    if period.status == "draft":
        return SEND
    if period.status is None:
        return Verdict(goes=False, words="its billing period is closed: it has an invoice, which Lago does not show")
    return Verdict(
        goes=False,
        words=f"its billing period is closed: invoice {period.number} of {period.until:%Y-%m-%d} is {period.status}",
        final=True,
    )


def _of_late_biller(at: datetime, holder: Subscription, subscriptions: Sequence[Subscription]) -> Verdict:
    """The span is over and has no invoice: either the biller is late, or none will come."""
    if holder.ended_at is not None and not (holder.end_is_billed or is_replaced(holder.ended_at, subscriptions)):
        return Verdict(goes=False, words=f"its subscription ended {_shown(holder.ended_at)} and no invoice will come")
    last_period = last_period_since(holder)
    if holder.created_at <= at or (last_period is not None and at >= last_period):
        return SEND
    return Verdict(
        goes=False,
        words=f"usage before its subscription was made ({_shown(holder.created_at)}): dated back, so that no invoice "
        "covers it",
    )


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
