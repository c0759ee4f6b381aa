"""The benchmark's comparison of what Lago holds with what was used: losses and double billing, each for itself."""

from decimal import Decimal

from bench.callback import Usage, Usages, beyond

USED: Usages = {
    ("acme", "gpt-4o"): Usage(3, Decimal("0.3")),
    ("globex", "gpt-4o"): Usage(1, Decimal("0.00000000000000000001")),
}


def test_equal_is_neither_lost_nor_billed_twice() -> None:
    assert beyond(USED, dict(USED)) == Usage(0, Decimal(0))


def test_what_one_lost_and_another_paid_twice_do_not_make_up_for_each_other() -> None:
    counted: Usages = {("acme", "gpt-4o"): Usage(4, Decimal("0.4")), ("initech", "gpt-4o"): Usage(1, Decimal("0.5"))}

    assert beyond(USED, counted) == Usage(1, Decimal("0.00000000000000000001"))
    assert beyond(counted, USED) == Usage(2, Decimal("0.6"))
