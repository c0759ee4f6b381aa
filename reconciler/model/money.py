"""Money: exact sums, and amounts as text."""

from collections.abc import Iterable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from functools import reduce

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum; Python's own would round it to 28 digits."""
    return reduce(_EXACT.add, amounts, Decimal())


def plain(amount: Decimal) -> str:
    """An amount in plain notation, without trailing zeros; `str` would write small and huge ones with an exponent."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
