"""Points in time as people write them on the command line: an ISO date, an ISO time, or an age."""

from collections.abc import Callable
from datetime import UTC, datetime

from reconciler.model.durations import parse_duration
from reconciler.model.errors import UsageError
from reconciler.model.windows import utc_text

When = Callable[[datetime], datetime]
"""A moment, given the source's clock."""

_EXAMPLES = "2026-11-23, 2026-11-23T12:00:00Z, 2026-11-23T13:00+01:00 or an age such as 36h"


def parse_when(text: str, now: datetime) -> datetime:
    """Read a point in time, as an aware time in UTC.

    Args:
        text: an ISO date or time (without an offset it is UTC), or an age before `now`, such as `36h`.
        now: the aware time that ages count from.

    Raises:
        UsageError: the text is neither, or lies outside the years that can be held.
    """
    text = text.strip()
    try:
        return now.astimezone(UTC) - parse_duration(text)
    except ValueError:
        pass  # No age, so it must be a date or time.
    except OverflowError:
        raise UsageError(f"{text!r} lies too far back: write a date or an age such as {_EXAMPLES}") from None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no date, time or age: write {_EXAMPLES}") from None


def when(text: str | None) -> When | None:
    """A point in time of the command line, for whatever the source's clock says; None if none is given.

    Raises:
        UsageError: as `parse_when`. So nonsense is told before anything is asked of a database.
    """
    if text is None:
        return None
    parse_when(text, datetime.now(UTC))
    return lambda now: parse_when(text, now)


def whole_windows(
    since: When, until: When | None, now: datetime, floor: Callable[[datetime], datetime]
) -> tuple[datetime, datetime | None]:
    """Round down to windows what `--since` and `--until` ask for.

    Args:
        since: the begin.
        until: the end, exclusive; None is left open.
        now: the source's clock.
        floor: says where the window of a moment begins.

    Returns:
        The start of the first window, and the end.

    Raises:
        UsageError: it lies in the future, or holds no window.
    """
    begin, end = floor(since(now)), floor(until(now)) if until else None
    if begin > now:
        said = utc_text(now.replace(microsecond=0))
        raise UsageError(f"--since {utc_text(begin)} is in the future; the source's clock says {said}.")
    if end is not None and end <= begin:
        raise UsageError(f"--until {utc_text(end)} leaves no window after {utc_text(begin)}.")
    return begin, end
