"""Do a meter's windows keep to the midnights of a time zone, at which billing periods begin?

Pure, but for the machine's own list of time zones.
"""

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

_DAYS = 366


def zone_of(name: str) -> tzinfo | None:
    """The time zone of that name; None if this machine does not know it."""
    if name == "UTC":
        return UTC  # also where no time zones are installed
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


def keeps_to_midnights(zone: tzinfo, window: timedelta, now: datetime) -> bool:
    """Whether no midnight of the year to come, summer time included, lies within a window."""
    today = now.astimezone(zone).date()
    midnights = (datetime.combine(today + timedelta(days=day), time.min, zone) for day in range(_DAYS))
    return not any(midnight.timestamp() % window.total_seconds() for midnight in midnights)


def fitting(zones: list[tzinfo], window: timedelta, now: datetime) -> timedelta:
    """The longest usual window, no longer than a meter's own, that keeps to the midnights of all of these zones."""
    for minutes in (720, 480, 360, 240, 180, 120, 60, 30):
        length = timedelta(minutes=minutes)
        if length < window and all(keeps_to_midnights(zone, length, now) for zone in zones):
            return length
    return timedelta(minutes=15)
