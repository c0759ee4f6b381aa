"""How Lago reads and writes times and numbers, where Ruby, Postgres and Python differ.

Instants are whole microseconds since 1970 (what Lago's `timestamp without time zone` holds): Python's
`datetime` ends in the year 9999, and Lago takes a millisecond epoch for seconds and stores the year 56171.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import (
    MAX_EMAX,
    MAX_PREC,
    MIN_EMIN,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    InvalidOperation,
)

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, rounding=ROUND_HALF_UP)
"""Decimal arithmetic that never rounds a sum, a product or a number of any length."""

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_YEAR_2000_INSTANT = 946_684_800 * SECOND
_DAYS_IN_400_YEARS = 146_097
_MICROSECONDS_IN_400_YEARS = _DAYS_IN_400_YEARS * 86_400 * SECOND

# Postgres' timestamp begins in 4714 BC and ends in the year 294276, 29 years after SQLite's integer.
_FIRST_INSTANT = -210_866_803_200 * SECOND
_LAST_INSTANT = 2**63 - 1
_GREATEST_EXPONENT = 40

_SPACE = " \t\n\v\f\r"
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_MANTISSA = rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})"
_BIG_DECIMAL = re.compile(rf"{_MANTISSA}(?:[eEdD][+-]?{_DIGITS})?")
_FLOAT = re.compile(rf"[+-]?(?:{_DIGITS}\.?|(?:{_DIGITS})?\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_NOT_FINITE = re.compile(r"NaN|[+-]?Infinity")
_COUNTED = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

# ClickHouse's Decimal(38, 26), and its lenient way to read one.
_DECIMAL128 = re.compile(r"([+-]?)(?=\.*[0-9])([0-9.]+)(?:[eE]([+-]?[0-9]{1,9}))?")
_DIGITS_IN_ALL, _DIGITS_AFTER_THE_POINT = 38, 26
_DIGITS_BEFORE_THE_POINT = _DIGITS_IN_ALL - _DIGITS_AFTER_THE_POINT
_LAST_PLACE = Decimal(1).scaleb(-_DIGITS_AFTER_THE_POINT)


class UnstorableError(Exception):
    """Lago's validation lets the value pass, its database does not: the request ends in a 500."""


def parse_timestamp(text: str) -> int:
    """Read seconds since 1970 as Ruby's `Time.at(BigDecimal(text))` does.

    Returns:
        Microseconds, the rest cut off; `check_instant` tells whether Postgres could hold them.

    Raises:
        ValueError: the text is no number to `BigDecimal` (`""`, `"0x10"`, ISO dates).
        UnstorableError: `NaN`, infinities, and what Ruby's `Time` has no room for either.
    """
    stripped = text.strip(_SPACE)
    if _NOT_FINITE.fullmatch(stripped):
        raise UnstorableError(text)
    if not _BIG_DECIMAL.fullmatch(stripped):
        raise ValueError(text)
    seconds = _decimal(stripped)
    if seconds.adjusted() > _GREATEST_EXPONENT:  # looked at before scaling: 1e999999 would fill the memory
        raise UnstorableError(text)
    return int(EXACT.multiply(seconds, Decimal(SECOND)).to_integral_value(ROUND_FLOOR))


def check_instant(instant: int) -> None:
    """Raise `UnstorableError` unless the database can hold the instant."""
    if not _FIRST_INSTANT <= instant <= _LAST_INSTANT:
        raise UnstorableError(instant)


def parse_cents(value: object) -> str | None:
    """Read `precise_total_amount_cents` as Ruby's forgiving `to_d` and a `numeric(40,15)` column do.

    Returns:
        The amount as Lago prints it (`"70"` becomes `"70.0"`, garbage `"0.0"`), None for null and blank text.

    Raises:
        UnstorableError: the amount has more than 25 digits before the point.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return ruby_decimal(parse_numeric(value, 15))


def parse_numeric(value: object, decimals: int) -> Decimal:
    """Read a number as Ruby's forgiving `to_d` and a column of 25 digits and so many decimals do; garbage is 0.

    Raises:
        UnstorableError: it has more than 25 digits before the point.
    """
    text = scalar_text(value) if not isinstance(value, bool) else str(int(value))
    stripped = text.lstrip(_SPACE)
    if _NOT_FINITE.match(stripped):
        raise UnstorableError(text)
    number = _BIG_DECIMAL.match(stripped)
    amount = _decimal(number[0]) if number else Decimal(0)
    if amount.adjusted() >= 25 and amount:
        raise UnstorableError(text)
    if amount.adjusted() <= -decimals - 3:
        return Decimal(0)
    return amount.quantize(Decimal(1).scaleb(-decimals), context=EXACT)


def is_float(value: object) -> bool:
    """Tell whether Ruby's `Float()` reads a JSON value; true and false it does not."""
    if isinstance(value, str):
        return _FLOAT.fullmatch(value.strip(_SPACE)) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _decimal(text: str) -> Decimal:
    """Turn text of `_BIG_DECIMAL`'s grammar into a Decimal (`d` is an exponent's letter to Ruby)."""
    try:
        return Decimal(text.replace("_", "").replace("d", "e").replace("D", "e"))
    except InvalidOperation:
        raise UnstorableError(text) from None  # an exponent beyond all bounds


def scalar_text(value: object) -> str:
    """Cast a JSON scalar to the text that Rails puts into a string column."""
    match value:
        case bool():
            return "t" if value else "f"
        case float():
            return repr(value)
        case _:
            return str(value)


def counted_number(text: str | None) -> Decimal | None:
    """Return the number that sums on Postgres see in a property's text, None where they skip the event."""
    return Decimal(text) if text is not None and _COUNTED.fullmatch(text) else None


def decimal128(value: object) -> Decimal | None:
    """Return the number that sums on ClickHouse see in a property, None where they see a zero for want of one.

    It is what `toDecimal128OrZero(text, 26)` makes of the value's text: a sign, exponents and points without
    digits beside them are fine, what has more than 26 decimals is cut, what has more than 12 digits before
    the point, be it by its exponent, is no number.

    Args:
        value: decoded with fractions as `Decimal`; exponents of JSON numbers are read, too.
    """
    match = None if isinstance(value, bool) else _DECIMAL128.fullmatch(str(value))
    if match is None:
        return None
    sign, digits, exponent = match[1], match[2], int(match[3] or 0)
    whole, _, fraction = digits.partition(".")
    whole, fraction = whole.lstrip("0"), fraction.replace(".", "")
    if len(whole) > _DIGITS_IN_ALL or len(whole) + exponent > _DIGITS_BEFORE_THE_POINT:
        return None
    if exponent < -2 * _DIGITS_IN_ALL:
        return Decimal(0)
    number = Decimal(f"{sign}{whole or 0}.{fraction[: _DIGITS_IN_ALL - len(whole)]}")
    return number.scaleb(exponent, EXACT).quantize(_LAST_PLACE, ROUND_DOWN, EXACT)


def property_text(value: object) -> str | None:
    """Return what Postgres' `properties->>'name'` gives for a decoded JSON value; all nested ones look alike.

    Args:
        value: decoded with fractions as `Decimal`, as `usage` does.
    """
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case dict() | list():
            return "nested"
        case _:
            return str(value)


def finite(number: float) -> float | None:
    """Return the float, or None for what JSON can't say (Ruby writes an overflown `1e400` as null)."""
    return number if math.isfinite(number) else None


def exact_sum(numbers: Iterable[Decimal]) -> Decimal:
    """Sum without rounding."""
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def plain(number: Decimal) -> str:
    """Write a number without exponent and without needless zeros: one text a value."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ruby_decimal(number: Decimal) -> str:
    """Write a number as Ruby's `BigDecimal#to_s("F")` does: always with a point."""
    text = plain(number)
    return text if "." in text else f"{text}.0"


def format_instant(instant: int, *, milliseconds: bool = False) -> str:
    """Write an instant as ISO 8601 in UTC to the second or to the millisecond, cut, never rounded."""
    cycles, rest = divmod(instant - _YEAR_2000_INSTANT, _MICROSECONDS_IN_400_YEARS)
    moment = _YEAR_2000 + timedelta(microseconds=rest)
    year = moment.year + 400 * cycles  # the calendar repeats every 400 years
    sign = "-" if year < 0 else ""
    text = f"{sign}{abs(year):04d}{moment:-%m-%dT%H:%M:%S}"
    return f"{text}.{moment.microsecond // 1000:03d}Z" if milliseconds else f"{text}Z"


def datetime_instant(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def parse_iso(text: str) -> int:
    """Read an ISO 8601 date (its midnight in UTC) or date and time (UTC if it names no offset).

    Raises:
        ValueError: it is neither.
    """
    moment = datetime.fromisoformat(text)
    return datetime_instant(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
