"""Long spans of events are read in slices of a few pages: each event once, with few questions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, cast

import pytest

from reconciler.lago.client import Lago
from reconciler.lago.questions import PAGE, Page
from reconciler.lago.reading import in_slices

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


class Events:
    """A Lago that holds so many events at each of these moments; after each page so many come before the others."""

    def __init__(self, moments: dict[datetime, int], coming: int = 0) -> None:
        self.moments, self.coming, self.questions = moments, coming, 0

    def events(self, _code: str, since: datetime, until: datetime) -> Iterator[Page]:
        inside = [(at, count) for at, count in self.moments.items() if since <= at <= until]
        total = max(1, -(-sum(count for _, count in inside) // PAGE))
        for number in range(total):
            self.questions += 1
            first = max(0, number * PAGE - self.coming * number)
            each = (f"{at} {n}" for at, count in inside for n in range(count))
            things: list[dict[str, Any]] = [{"lago_id": id_} for id_ in islice(each, first, first + PAGE)]
            yield Page(things, number == total - 1, total)

    def read(self, until: datetime) -> list[Any]:
        slices = in_slices(cast("Lago", self), "code", BEGIN, until)
        return [event["lago_id"] for _, events in slices for event in events]


@pytest.mark.parametrize(
    ("windows", "in_each", "most"), [(0, 0, 1), (2, 1, 1), (400, 30, 30), (10, 1200, 40), (1, 12_000, 70)]
)
def test_few_questions_read_each_event_once(windows: int, in_each: int, most: int) -> None:
    lago = Events({BEGIN + number * WINDOW: in_each for number in range(windows)})
    read = lago.read(BEGIN + timedelta(days=400))
    assert (len(read), len(set(read))) == (windows * in_each, windows * in_each)
    assert lago.questions <= most


def test_an_event_that_moves_to_the_next_page_is_read_once() -> None:
    read = Events({BEGIN: 2500}, coming=3).read(BEGIN + WINDOW)
    assert len(read) == len(set(read))
