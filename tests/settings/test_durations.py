"""Durations are read, written and named exactly."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.durations import format_duration, iso_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        (" 35d\n", timedelta(days=35)),
        ("999999999d", timedelta(days=999_999_999)),
    ],
)
def test_reads_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "15", "m", "-1m", "1.5h", "1w", "15 m", "15M", "1h30m", "\u0661m", "9999999999s"])
def test_refuses_anything_else_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s or 15m"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**9 - 1))
def test_what_is_written_is_read_back(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "90s"), (900, "15m"), (129_600, "36h"), (86_400, "1d")])
def test_writes_the_largest_whole_unit(seconds: int, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("length", [timedelta(seconds=-1), timedelta(milliseconds=1500)])
def test_does_not_round(length: timedelta) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        format_duration(length)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "PT0S"),
        (60, "PT1M"),
        (900, "PT15M"),
        (3600, "PT1H"),
        (5400, "PT1H30M"),
        (86_400, "P1D"),
        (90_061, "P1DT1H1M1S"),
    ],
)
def test_names_an_iso_duration(seconds: int, text: str) -> None:
    assert iso_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9 - 1))
def test_an_iso_duration_adds_up(seconds: int) -> None:
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", iso_duration(seconds))
    assert found
    amounts = [int(amount or 0) for amount in found.groups()]
    assert sum(a * unit for a, unit in zip(amounts, (86_400, 3_600, 60, 1), strict=True)) == seconds


def test_an_iso_duration_is_not_negative() -> None:
    with pytest.raises(ValueError, match="not a length"):
        iso_duration(-1)
