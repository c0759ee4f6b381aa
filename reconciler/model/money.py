"""Money: exact sums, and amounts as text."""

from collections.abc import Iterable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from functools import reduce

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])
_ROUNDED = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, rounding=ROUND_HALF_UP, traps=[InvalidOperation])
_CENT = Decimal("0.01")


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum; Python's own would round it to 28 digits."""
    return reduce(_EXACT.add, amounts, Decimal())


def plain(amount: Decimal) -> str:
    """An amount in plain notation, without trailing zeros; `str` would write small and huge ones with an exponent."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd(amount: Decimal) -> str:
    """An amount of USD for people: `1,234.57`, to the cent; of less than a cent three digits, as in `0.0000135`."""
    if not amount:
        return "0"
    step = _CENT if abs(amount) >= _CENT else Decimal((0, (1,), amount.adjusted() - 2))
    text = f"{amount.quantize(step, context=_ROUNDED):,f}"
    return text if step == _CENT else text.rstrip("0")
