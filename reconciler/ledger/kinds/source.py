"""Alarms of the spend table itself: its clock, its retention, what it lacks."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from reconciler.ledger.balance import Balance
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.kinds.rows import EMPTY, is_ahead
from reconciler.model.words import minute

AWAY, FARTHEST = timedelta(hours=1, minutes=45), timedelta(hours=12, minutes=15)
"""Rows that all arrive so late, and not later, may be stamped with the time of a zone west of UTC. A request takes an
hour and 40 minutes at most (LiteLLM's request_timeout)."""

ARRIVALS = 3
"""So many arrivals in a day are no chance."""

HOUR_AWAY = timedelta(minutes=45), timedelta(minutes=75)
"""By an hour rows are late in UTC-1, and so are long requests, but not always by the same hour."""

HOUR_ARRIVALS = 12
"""So many such arrivals in a day are no long requests."""


def local_time(balance: Balance) -> Iterator[Alarm]:
    """The proxy writes by another clock than UTC."""
    clock, newest = balance.source_clock, balance.newest_row
    if clock is None or newest is None:
        return
    if is_ahead(newest, clock):
        how = (
            f"The newest row of the spend table, of {minute(newest)}, lies {_hours(newest - clock)} ahead of the "
            f"database's clock, {minute(clock)}"
        )
        means = "its usage is billed late"
    elif balance.nearest is not None and _always_late(balance):
        how = (
            "Rows arrive in the spend table, and in a day the newest was never nearer to the database's clock than "
            f"{_hours(balance.nearest)}"
        )
        means = "its usage is looked for late"
    else:
        return
    yield Alarm(
        "local time",
        f"{how}. The proxy writes local time, as LiteLLM did before February 2025, or its clock is wrong, or its rows "
        f"are hours late: {means}, and at the ends of billing periods it is billed in the wrong one. Upgrade LiteLLM, "
        "or run the proxy with TZ=UTC. Rows that are there keep their times.",
    )


def _always_late(balance: Balance) -> bool:
    """Whether rows arrive as late as the time of a zone west of UTC would make them."""
    if balance.late_by is None or balance.latest_by is None:
        return False
    far = AWAY <= balance.late_by <= FARTHEST and balance.arrivals >= ARRIVALS
    least, most = HOUR_AWAY
    return far or (least <= balance.late_by and balance.latest_by <= most and balance.arrivals >= HOUR_ARRIVALS)


def _hours(span: timedelta) -> str:
    """A difference of time zones, to the quarter of an hour."""
    hours = round(span / timedelta(minutes=15)) / 4
    return "an hour" if hours == 1 else f"{hours:g} hours"


def empty(balance: Balance) -> Iterator[Alarm]:
    """There never was a row."""
    if balance.empty_for is not None and not balance.is_new_and_empty:
        yield Alarm("empty", EMPTY)


def silent(balance: Balance) -> Iterator[Alarm]:
    """There are no more rows."""
    if balance.silent:
        yield Alarm(
            "silent",
            "The spend table has had no rows for three hours, where the same hours of last week had some: does the "
            "proxy write to this database?",
        )


def purged(balance: Balance) -> Iterator[Alarm]:
    """Retention has begun."""
    if balance.purge_mark is not None:
        yield Alarm(
            "purged",
            f"Retention has deleted spend rows up to the window of {minute(balance.purge_mark)}. What is missing up to "
            "there is no credit; what is there and not billed is billed.",
        )


def overtaken(mark: datetime, watermark: datetime) -> Alarm:
    """The incident that retention has come to where no pass had looked."""
    return Alarm(
        "overtaken",
        f"Retention has come to the window of {minute(mark)} before it was billed: passes had come to "
        f"{minute(watermark)} only. What it has deleted from there on can't be billed; what is left is. Run passes "
        "more often, or let retention keep rows longer.",
    )


def pulled_back(now: datetime, moved: Sequence[tuple[str, datetime, datetime]]) -> Alarm:
    """The incident that a meter was ahead of the source's clock.

    Args:
        now: the source's clock.
        moved: what was pulled back, `start` or `watermark`, from where and to where.
    """
    what = " and ".join(f"the {name} from {minute(ahead)} to {minute(moment)}" for name, ahead, moment in moved)
    earlier = " To bill usage before the start: `reconcile --since WHEN`." if moved[0][0] == "start" else ""
    return Alarm(
        "clock",
        f"This meter was ahead of the source's clock ({minute(now)}), so a pass pulled back {what}: was a clock wrong?"
        f"{earlier}",
    )
