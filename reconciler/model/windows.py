"""Windows: spans of a fixed length, aligned with the UTC day. Integer arithmetic only, no clock.

Every function takes an aware time and a length between one minute and one day that divides a day;
anything else is a `ValueError`.
"""

from datetime import UTC, datetime, timedelta

from reconciler.model.durations import format_duration, iso_duration

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_QUARTER = timedelta(milliseconds=250)


def check_length(length: timedelta) -> timedelta:
    """Return the length if windows may have it.

    Raises:
        ValueError: it is not of whole seconds, from one minute to one day, or doesn't divide a day.
    """
    if not MINUTE <= length <= DAY or length % _SECOND or DAY % length:
        raise ValueError(
            f"a window of {_readable(length)} does not fit: it must be from 1m to 1d and divide a day, "
            "such as 15m or 1h"
        )
    return length


def keep_to_midnights(length: timedelta) -> bool:
    """Return whether no window lies across a midnight, wherever: time zones differ by quarters of an hour."""
    return not timedelta(minutes=15) % check_length(length)


def floor(moment: datetime, length: timedelta) -> datetime:
    """Return the start, in UTC, of the window that holds the moment."""
    # The epoch is a midnight and the length divides a day, so counting from it keeps to the UTC day.
    return moment.astimezone(UTC) - (_aware(moment) - _EPOCH) % check_length(length)


def ceil(moment: datetime, length: timedelta) -> datetime:
    """Return the first start of a window, in UTC, that is not before the moment."""
    start = floor(moment, length)
    return start if start == moment else start + length


def count(since: datetime, until: datetime, length: timedelta) -> int:
    """Return how many windows start in `[since, until)`; none if `until` is not after `since`."""
    return max(0, (ceil(until, length) - ceil(since, length)) // length)


def last_millisecond(start: datetime, length: timedelta) -> str:
    """Return the timestamp of a window's events: its last millisecond, in epoch seconds with three decimals.

    `2026-11-23T12:00:00Z` and 15 minutes give `"1795436099.999"`.

    Raises:
        ValueError: also if `start` is not the start of a window.
    """
    end = _aligned(start, length) + length
    return f"{(end - _EPOCH) // _SECOND - 1}.999"


def quarter(moment: datetime) -> datetime:
    """Return the first quarter of a second, in UTC, that is not before the moment: a fraction that every Lago keeps."""
    start = _aware(moment).astimezone(UTC)
    return start + -(start - _EPOCH) % _QUARTER


def stamp(moment: datetime) -> str:
    """Return the timestamp of events that count at a moment of whole milliseconds: epoch seconds, three decimals.

    Raises:
        ValueError: the moment lies between two milliseconds.
    """
    seconds, fraction = divmod(_aware(moment) - _EPOCH, _SECOND)
    if fraction.microseconds % 1000:
        raise ValueError(f"{moment.isoformat()} lies between two milliseconds")
    return f"{seconds}.{fraction.microseconds // 1000:03}"


def window_name(start: datetime, length: timedelta) -> str:
    """Return a window's name, as in `"2026-11-23T12:00:00Z/PT15M"`.

    Raises:
        ValueError: also if `start` is not the start of a window.
    """
    return f"{utc_text(_aligned(start, length))}/{iso_duration(length // _SECOND)}"


def utc_text(moment: datetime) -> str:
    """Write an aware time of whole seconds in UTC, as in `"2026-11-23T12:00:00Z"`.

    Raises:
        ValueError: the time is naive or has a fraction of a second.
    """
    if moment.microsecond:
        raise ValueError(f"{moment.isoformat()} has a fraction of a second")
    return _aware(moment).astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _aligned(start: datetime, length: timedelta) -> datetime:
    if floor(start, length) != start:
        raise ValueError(f"{start.isoformat()} is not the start of a window of {format_duration(length)}")
    return start


def _aware(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment


def _readable(length: timedelta) -> str:
    try:
        return format_duration(length)
    except ValueError:
        return str(length)
