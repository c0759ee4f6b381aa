"""Points in time on the command line."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import UsageError
from reconciler.model.when import parse_when

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T12:00", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23 12:00:00Z", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23T13:00:00+01:00", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("36h", NOW - timedelta(hours=36)),
        ("7d", NOW - timedelta(days=7)),
        ("0s", NOW),
    ],
)
def test_reads_dates_times_and_ages(text: str, moment: datetime) -> None:
    found = parse_when(text, NOW)
    assert found == moment
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "7 days", "-7d", "9999999d", "0001-01-01T00:00+12:00"])
def test_refuses_the_rest_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="2026-11-23T12:00:00Z"):
        parse_when(text, NOW)


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001
def test_a_time_in_any_zone_is_the_same_moment(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert parse_when(aware.isoformat(), NOW) == aware
