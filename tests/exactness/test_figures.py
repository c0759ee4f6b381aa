"""Sums of money are exact at any precision: no figure is rounded to the 28 digits of Python's default."""

from decimal import Decimal

from reconciler.model.money import plain, total
from reconciler.report.figures import Tally

LARGE, SMALL = Decimal(12345678901234567890), Decimal("0.00000000000000000001")
SUM = "12345678901234567890.00000000000000000001"


def test_a_tally_of_more_than_28_digits_is_exact() -> None:
    tally = Tally(cost_planned=LARGE, unattributed_cost=SMALL)
    tally.add(Tally(cost_planned=SMALL, unattributed_cost=LARGE))
    assert (plain(tally.cost_planned), plain(tally.unattributed_cost)) == (SUM, SUM)


def test_a_total_is_exact_and_of_nothing_zero() -> None:
    assert plain(total([LARGE, SMALL, Decimal(0)])) == SUM
    assert total([]) == 0
