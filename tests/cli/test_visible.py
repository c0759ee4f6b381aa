"""What a terminal would act on, or not show, is text that can be seen."""

from decimal import Decimal

import pytest

from reconciler.model.money import usd
from reconciler.model.visible import brief, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("acme & Söhne · 株式会社 😀 C:\\new", "acme & Söhne · 株式会社 😀 C:\\new"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m\x07\x08\x7f", "\\x9b31m\\x07\\x08\\x7f"),
        ("one\ntwo\r\tthree\x85\u2028four\x0b", "one\\ntwo\\r\\tthree\\x85\\u2028four\\x0b"),
        ("\u202eeman\u2066\u200e", "\\u202eeman\\u2066\\u200e"),
        ("ac\u200bme\ufeff\u00ad\u00a0\u3000", "ac\\u200bme\\ufeff\\xad\\xa0\\u3000"),
        ("\ud800 \udfff \x00", "\\ud800 \\udfff \\x00"),
        ("\u3164\u2800\ufe0f\U000e0041", "\\u3164\\u2800\\ufe0f\\U000e0041"),
    ],
    ids=["harmless", "escape codes", "other controls", "line breaks", "direction", "no width", "no text", "nothing"],
)
def test_text_from_outside_is_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_says_how_long_it_is() -> None:
    assert brief("x" * 200_000, 3) == "xxx… (200,000 characters)"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0"), ("62.5011913000000000002", "62.50"), ("-1234567.895", "-1,234,567.90"), ("0.01", "0.01"),
        ("0.0000135", "0.0000135"), ("0.00001354999", "0.0000135"), ("0.00999999", "0.01"),
        ("123456789012345678901234567890.125", "123,456,789,012,345,678,901,234,567,890.13"),
    ],
)  # fmt: skip
def test_money_is_to_the_cent_for_people(amount: str, shown: str) -> None:
    assert usd(Decimal(amount)) == shown
