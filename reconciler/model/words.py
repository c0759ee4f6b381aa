"""Numbers and times in sentences."""

from datetime import UTC, datetime, timedelta


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """So many of them: `1 event`, `2 events`, `1,000 events`; `nouns` where an `s` is not enough."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def moment(at: datetime | None) -> str:
    """A time to the minute, in UTC."""
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def minute(at: datetime) -> str:
    """A time to the minute as a sentence has it, with its zone."""
    return f"{moment(at)} UTC"


def length(span: timedelta) -> str:
    """About how long it is: `0.4 s`, `45 s`, `3 min`, `5 h`, `3 d`."""
    seconds = max(span.total_seconds(), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
