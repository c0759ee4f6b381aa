"""Points in time as people write them on the command line: an ISO date, an ISO time, or an age."""

from datetime import UTC, datetime

from reconciler.model.durations import parse_duration
from reconciler.model.errors import UsageError

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
