"""Do a meter's windows keep to the midnights of a time zone, at which billing periods begin?

Pure, but for the machine's own list of time zones.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from reconciler.model.durations import format_duration
from reconciler.report.unbillable import Unbillable
from reconciler.report.usage import Usage
from reconciler.settings.meter import MeterSettings

_DAYS = 366
_USUAL = (720, 480, 360, 240, 180, 120, 60, 30)
"""Minutes."""

_NAMED = 3


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


def unbillable(meter: MeterSettings, by_zone: Mapping[str, Mapping[str, Usage]], now: datetime) -> Unbillable | None:
    """Usage of those whose billing periods begin within a window; None if all windows keep to midnights.

    Args:
        meter: whose windows.
        by_zone: usage by the name of its customer's time zone, and there by subscription.
        now: the year to come begins here.
    """
    known = {name: zone for name in by_zone if (zone := zone_of(name))}
    unfit = {name: zone for name, zone in known.items() if not keeps_to_midnights(zone, meter.window, now)}
    if not unfit:
        return None
    window, fits = format_duration(meter.window), format_duration(fitting([*unfit.values()], meter.window, now))
    return Unbillable(
        "time zone",
        meter.name,
        f"in windows of {window}, within which billing periods begin ({', '.join(sorted(unfit)[:_NAMED])}): what such "
        "a window holds from before that midnight is billed in the next period, or never if the subscription ends then",
        f"Set RECONCILE_WINDOW={fits}, and run `reconcile --adopt` once.",
        {name: usage for zone in unfit for name, usage in by_zone[zone].items()},
    )


def fitting(zones: Sequence[tzinfo], window: timedelta, now: datetime) -> timedelta:
    """The longest usual window, no longer than a meter's own, that keeps to the midnights of all of these zones."""
    for minutes in _USUAL:
        length = timedelta(minutes=minutes)
        if length < window and all(keeps_to_midnights(zone, length, now) for zone in zones):
            return length
    return timedelta(minutes=15)
