"""Spans are read as a whole where that takes fewer questions than asking for each event."""

from datetime import UTC, datetime, timedelta

from reconciler.model.terms import BEGINNING, Terms, Timeline
from reconciler.verify.slices import slices

START = datetime(2026, 11, 24, tzinfo=UTC)
TERMS = Terms("a", "end_user_id", 900, "model", cache_hits=True, exclude=())
TIMELINE = Timeline([(BEGINNING, TERMS)])


def at(quarter: int) -> datetime:
    return START + quarter * timedelta(minutes=15)


def cut(wanted: dict[int, int], crowds: dict[int, int], timeline: Timeline = TIMELINE) -> list[tuple[int, int, bool]]:
    quarter = timedelta(minutes=15)
    found = slices(
        {at(n): count for n, count in wanted.items()}, {at(n): count for n, count in crowds.items()}, timeline
    )
    return [((each.first - START) // quarter, (each.last - START) // quarter, each.is_whole) for each in found]


def test_windows_that_follow_are_read_together() -> None:
    assert cut({0: 100, 1: 100, 90: 100}, {0: 100, 1: 100, 90: 100}) == [(0, 90, True)]


def test_a_few_others_on_the_way_are_read_along() -> None:
    assert cut({0: 5, 2: 5}, {0: 5, 1: 500, 2: 5}) == [(0, 2, True)]
    assert cut({0: 5, 2: 5}, {0: 5, 1: 501, 2: 5}) == [(0, 0, True), (2, 2, True)]


def test_a_few_events_in_a_crowd_are_asked_for_one_by_one() -> None:
    assert cut({0: 2}, {0: 2000}) == [(0, 0, True)]
    assert cut({0: 2}, {0: 2001}) == [(0, 0, False)]


def test_another_code_begins_another_span() -> None:
    other = Terms("b", "end_user_id", 900, "model", cache_hits=True, exclude=())
    assert cut({0: 1, 1: 1}, {0: 1, 1: 1}, Timeline([(BEGINNING, TERMS), (at(1), other)])) == [
        (0, 0, True),
        (1, 1, True),
    ]


def test_nothing_is_nothing() -> None:
    assert cut({}, {0: 5}) == []
