"""Sums of money, exact at any precision."""

from collections.abc import Iterable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from functools import reduce

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum; Python's own would round it to 28 digits."""
    return reduce(_EXACT.add, amounts, Decimal())
