"""Which numbers Lago counts: a JSON number however it is written, a text only in plain notation."""

from decimal import Decimal

import pytest

from reconciler.lago.answers import parsed
from reconciler.lago.shown import exact


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.5e-07", "0.00000035"), ("1E+3", "1000"), ("-1e-10", "-0.0000000001"), ("7", "7"), ('"-5"', "-5"),
        ('"0.00000035"', "0.00000035"), ('"3.5e-07"', None), ('"1e3"', None), ('"5."', None), ('" 5"', None),
        ("true", None), ("null", None), ("[1]", None), ("1e99999999", None),
    ],
)  # fmt: skip
def test_a_number_is_what_lago_counts_of_it(text: str, number: str | None) -> None:
    shown = parsed(f'{{"cost": {text}}}'.encode())["cost"]
    assert exact(shown) == (None if number is None else Decimal(number))
