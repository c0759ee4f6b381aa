"""Up to when a close bills, when its events count, and which later usage is of the plan that follows."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.delivery.spans import Subscription, follows_close
from reconciler.model import windows

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("called", "instant", "stamp"),
    [
        (0, 0, "1795521600.000"),
        (0.000001, 0.25, "1795521600.250"),
        (0.25, 0.25, "1795521600.250"),
        (0.6, 0.75, "1795521600.750"),
        (899.999999, 900, "1795522500.000"),
    ],
)
def test_an_instant_is_a_quarter_of_a_second_that_every_lago_keeps(called: float, instant: float, stamp: str) -> None:
    assert windows.quarter(at(called)) == at(instant)
    assert windows.stamp(at(instant)) == stamp


def test_a_stamp_lies_between_no_two_milliseconds() -> None:
    with pytest.raises(ValueError, match="lies between two milliseconds"):
        windows.stamp(at(0.0005))


@pytest.mark.parametrize(
    ("usage", "ended", "follows"),
    [
        (100, 200, True),
        (200.5, 200, True),  # an end hides its milliseconds
        (0, 200, False),  # the close's own
        (-1, 200, False),
        (202, 200, False),
        (100, 3599, True),
        (100, 3700, False),  # another change than the one that it was closed for
        (100, None, False),
    ],
)
def test_usage_after_a_close_is_of_the_plan_that_follows(usage: float, ended: float | None, follows: bool) -> None:
    began = at(-86_400)
    old = Subscription(began, began, ended_at=None if ended is None else at(ended))
    assert follows_close(at(usage), NOON, [old]) == follows
