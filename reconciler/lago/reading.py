"""Long spans of events, read in slices of about a page: narrow time ranges cost Lago less than deep pages."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing

MILLISECOND = timedelta(milliseconds=1)
"""Lago shows no finer moments."""


def in_slices(lago: Lago, code: str, since: datetime, until: datetime) -> Iterator[tuple[datetime, list[Thing]]]:
    """Read the events of a code in `[since, until]` in slices: each is a page, unless all of it are of one moment.

    Yields:
        The end of each slice, inclusive, and its events. Other producers' events may be many: what is read in slices
        need not be read again by who notes how far it came.
    """
    position, width = since, until - since
    while position <= until:
        end = min(position + width, until)
        pages = lago.events(code, position, end)
        page = next(pages)
        if not page.is_last and end > position:
            width = (end - position) // 2 // MILLISECOND * MILLISECOND
            continue
        events = page.things + [event for page in pages for event in page.things]
        yield end, events
        position, width = end + MILLISECOND, max(2 * width, MILLISECOND)
