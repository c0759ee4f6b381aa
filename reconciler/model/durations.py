"""Lengths of time as people write them in settings: `90s`, `15m`, `2h`, `35d`."""

import re
from datetime import timedelta

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
# Nine digits of days are the most that a `timedelta` holds.
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


def parse_duration(text: str) -> timedelta:
    """Read a whole number and its unit (`s`, `m`, `h` or `d`), such as `90s` or `35d`; zero is fine.

    Raises:
        ValueError: the text is no such duration, or has more digits than `timedelta` can hold.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration: write a whole number and s, m, h or d, such as 90s or 15m")
    amount, unit = found.groups()
    return timedelta(seconds=int(amount) * _UNITS[unit])


def format_duration(length: timedelta) -> str:
    """Write a length of whole seconds in the largest unit that holds it exactly: `15m`, `36h`, `1d`, `0s`.

    `parse_duration` reads it back, up to 10⁹ of the unit.

    Raises:
        ValueError: the length is negative or has a fraction of a second.
    """
    seconds = _whole_seconds(length)
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0) if seconds else "s"
    return f"{seconds // _UNITS[unit]}{unit}"


def iso_duration(seconds: int) -> str:
    """Write whole seconds as an ISO 8601 duration: `PT15M`, `PT1H`, `P1D`, `PT1H30M`, `PT0S`.

    Raises:
        ValueError: the number is negative.
    """
    if seconds < 0:
        raise ValueError(f"{seconds} seconds is not a length of time")
    days, rest = divmod(seconds, _UNITS["d"])
    hours, rest = divmod(rest, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    date = f"{days}D" if days else ""
    time = "".join(f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if amount)
    if not (date or time):
        return "PT0S"
    return f"P{date}T{time}" if time else f"P{date}"


def _whole_seconds(length: timedelta) -> int:
    seconds, fraction = divmod(length, timedelta(seconds=1))
    if seconds < 0 or fraction:
        raise ValueError(f"{length} is not a length of whole seconds")
    return seconds
