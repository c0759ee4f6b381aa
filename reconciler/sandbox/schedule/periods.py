"""Billing periods: calendar or anniversary, in the customer's time zone, cut to the subscription's life.

Instants are microseconds since 1970. A period begins at a midnight of the customer's time zone, so its length
in hours varies with daylight saving.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from reconciler.sandbox.grammar import SECOND, datetime_instant
from reconciler.sandbox.stores.store import Thing

_MONTHS = {"monthly": 1, "quarterly": 3, "semiannual": 6, "yearly": 12}
INTERVALS = frozenset({"weekly", *_MONTHS})
_FURTHEST_MIDNIGHTS = 26 * 3600 * SECOND
PERIODS_A_YEAR = {"weekly": 52, "monthly": 12, "quarterly": 4, "semiannual": 2, "yearly": 1}


class Period(NamedTuple):
    """A span of time in microseconds since 1970; both ends belong to it."""

    start: int
    end: int


class Schedule(NamedTuple):
    """When periods begin.

    Attributes:
        interval: one of `INTERVALS`.
        anchor: the day whose anniversaries begin periods; None is the calendar: Mondays, first days of a
            month, of a quarter, of a half-year, of a year.
        zone: where midnight is.
    """

    interval: str
    anchor: date | None
    zone: ZoneInfo

    def day(self, instant: int) -> date:
        """Return the local day of an instant."""
        return datetime.fromtimestamp(instant // SECOND, UTC).astimezone(self.zone).date()

    def midnight(self, day: date) -> int:
        """Return the instant at which a local day begins."""
        return datetime_instant(datetime.combine(day, time.min, self.zone))

    def holding(self, instant: int) -> Period:
        """Return the whole period that holds an instant."""
        first, following = self._bounds(self.day(instant))
        return Period(self.midnight(first), self.midnight(following) - 1)

    def days(self, period: Period) -> int:
        """Return how many local days a period touches."""
        return (self.day(period.end) - self.day(period.start)).days + 1

    def _bounds(self, day: date) -> tuple[date, date]:
        """Return the first day of the period that holds `day`, and of the next."""
        if self.interval == "weekly":
            weekday = self.anchor.weekday() if self.anchor else 0
            first = day - timedelta(days=(day.weekday() - weekday) % 7)
            return first, first + timedelta(days=7)
        step = _MONTHS[self.interval]
        anchor = self.anchor or date(day.year, 1, 1)
        months = (day.year - anchor.year) * 12 + day.month - anchor.month
        months -= months % step
        if _after(anchor, months) > day:
            months -= step
        return _after(anchor, months), _after(anchor, months + step)


def _after(anchor: date, months: int) -> date:
    """Return the anchor's day so many months later, or the last day of a month that is too short for it."""
    years, month = divmod(anchor.month - 1 + months, 12)
    year, month = anchor.year + years, month + 1
    return date(year, month, min(anchor.day, monthrange(year, month)[1]))


def lived(whole: Period, subscription: Thing) -> Period:
    """Cut a period to a subscription's life: what is counted is what happened in the result.

    It begins where the last bill ended, also if the customer's time zone has changed since and midnight was at
    another time then; so no hour is billed twice or not at all.
    """
    started_at, terminated_at, billed_until = (
        subscription[name] for name in ("started_at", "terminated_at", "billed_until")
    )
    start = max(whole.start, started_at)
    if billed_until is not None and terminated_at is None and whole.start - billed_until < _FURTHEST_MIDNIGHTS:
        start = billed_until + 1
    end = whole.end if terminated_at is None else min(whole.end, terminated_at)
    return Period(start, max(end, started_at))


def after_bill(schedule: Schedule, subscription: Thing) -> Period:
    """Return the first whole period that is not billed; what another time zone leaves of a billed one is none."""
    billed_until = subscription["billed_until"]
    if billed_until is None:
        return schedule.holding(subscription["started_at"])
    whole = schedule.holding(billed_until + 1)
    return schedule.holding(whole.end + 1) if whole.end - billed_until < _FURTHEST_MIDNIGHTS else whole
