"""Windows keep to the UTC day, and their timestamps lie inside them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import windows

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
lengths = st.sampled_from([timedelta(seconds=n) for n in range(60, 86_401) if 86_400 % n == 0])
moments = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)


@given(moments, lengths)
def test_a_window_holds_its_moment_and_keeps_to_the_day(moment: datetime, length: timedelta) -> None:
    start = windows.floor(moment, length)
    assert start <= moment < start + length
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    assert start.tzinfo is UTC
    assert (start - midnight) % length == timedelta(0)
    assert windows.floor(start, length) == windows.ceil(start, length) == start
    assert windows.ceil(moment, length) - start in {timedelta(0), length}
    assert windows.ceil(moment, length) >= moment


@given(moments, lengths, st.integers(0, 1000))
def test_counts_the_starts(moment: datetime, length: timedelta, number: int) -> None:
    start = windows.floor(moment, length)
    assert windows.count(start, start + number * length, length) == number
    assert windows.count(start + number * length, start, length) == 0


@given(moments, lengths)
def test_the_timestamp_is_the_last_millisecond(moment: datetime, length: timedelta) -> None:
    start = windows.floor(moment, length)
    text = windows.last_millisecond(start, length)
    assert Decimal(text) == Decimal(int((start + length).timestamp())) - Decimal("0.001")
    assert len(text.partition(".")[2]) == 3


def test_gives_the_design_s_examples() -> None:
    assert windows.last_millisecond(NOON, QUARTER) == "1795436099.999"
    assert windows.window_name(NOON, QUARTER) == "2026-11-23T12:00:00Z/PT15M"
    assert windows.window_name(windows.floor(NOON, timedelta(days=1)), timedelta(days=1)) == "2026-11-23T00:00:00Z/P1D"


@pytest.mark.parametrize(
    "length",
    [
        timedelta(0),
        timedelta(seconds=59),
        timedelta(minutes=7),
        timedelta(days=2),
        timedelta(minutes=1.0001),
        -QUARTER,
    ],
)
def test_refuses_lengths_that_do_not_divide_a_day(length: timedelta) -> None:
    with pytest.raises(ValueError, match="divide a day, such as 15m"):
        windows.floor(NOON, length)


def test_refuses_what_is_no_start_and_what_has_no_zone() -> None:
    with pytest.raises(ValueError, match="not the start of a window of 15m"):
        windows.window_name(NOON + timedelta(minutes=1), QUARTER)
    with pytest.raises(ValueError, match="time zone"):
        windows.floor(NOON.replace(tzinfo=None), QUARTER)
    with pytest.raises(ValueError, match="time zone"):
        windows.utc_text(NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="fraction"):
        windows.utc_text(NOON.replace(microsecond=1))
