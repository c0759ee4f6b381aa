"""Long spans of events, read in slices of a few pages: narrow time ranges cost Lago less than deep pages."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from reconciler.lago.client import Lago
from reconciler.lago.questions import Page, Thing

MILLISECOND = timedelta(milliseconds=1)
"""Lago shows no finer moments."""

_PAGES = 10
"""So deep are pages read; all events of one window share a moment, so that narrower slices would often help nothing."""


def in_slices(lago: Lago, code: str, since: datetime, until: datetime) -> Iterator[tuple[datetime, list[Thing]]]:
    """Read the events of a code in `[since, until]` in slices of a few pages, unless all of one are of one moment.

    Yields:
        The end of each slice, inclusive, and its events. Other producers' events may be many: what is read in slices
        need not be read again by who notes how far it came.
    """
    position, width = since, until - since
    while position <= until:
        end = min(position + width, until)
        pages = lago.events(code, position, end)
        page = next(pages)
        if page.total > _PAGES and end > position:
            width = (end - position) * _PAGES // (2 * page.total) // MILLISECOND * MILLISECOND
            continue
        yield end, page.things if page.is_last else list(_each_once([page, *pages]))
        position, width = end + MILLISECOND, max((8 if page.is_last else 2) * width, MILLISECOND)


def _each_once(pages: Iterable[Page]) -> Iterator[Thing]:
    """What is on these pages: a thing that has moved to the next page, as others came before it, is there twice."""
    seen: set[str] = set()
    for page in pages:
        for thing in page.things:
            id_ = str(thing.get("lago_id") or "")
            if not id_ or id_ not in seen:
                seen.add(id_)
                yield thing
