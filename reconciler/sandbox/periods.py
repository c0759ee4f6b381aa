"""Billing periods: calendar months in UTC, cut to the subscription's life."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from reconciler.sandbox.grammar import datetime_instant


class Period(NamedTuple):
    """A span of time in microseconds since 1970; both ends belong to it."""

    start: int
    end: int


def current_period(subscription: dict[str, Any], now: int) -> Period:
    """Return the subscription's period that holds `now`, or the first one if it has yet to start."""
    started, terminated = subscription["started_at"], subscription["terminated_at"]
    moment = datetime.fromtimestamp(max(now, started) // 1_000_000, UTC)
    month = moment.replace(day=1, hour=0, minute=0, second=0)
    next_month = (month + timedelta(days=32)).replace(day=1)
    end = datetime_instant(next_month) - 1
    return Period(max(datetime_instant(month), started), end if terminated is None else min(end, terminated))
