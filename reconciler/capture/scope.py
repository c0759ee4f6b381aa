"""Which windows are in scope: from the meter's start on, and those explicitly backfilled. Nothing looks elsewhere."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, select

from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch


def in_scope(ledger: Ledger, meter: Meter, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The parts of `[since, until)` in scope: windows backfilled, and those from the meter's start on."""
    start = meter.start
    if since < start:
        window = tables.window.c
        for stretch in stretches_where(ledger, meter, (window.start >= since) & (window.start < min(start, until))):
            yield stretch.since, stretch.until
    if max(since, start) < until:
        yield max(since, start), until


def stretches_where(ledger: Ledger, meter: Meter, which: ColumnElement[bool]) -> Iterator[Stretch]:
    """The windows of a meter that a look has seen and the condition takes, oldest first; neighbours are joined."""
    window, timeline = tables.window.c, meter.timeline
    with ledger.transaction() as connection:
        some = select(window.start).where(window.meter == meter.name, which).order_by(window.start)
        starts = [start.astimezone(UTC) for start in connection.scalars(some)]
    if not starts:
        return
    for stretch in timeline.stretches(starts[0], timeline.window_end(starts[-1])):
        inside = [start for start in starts if stretch.since <= start < stretch.until]
        for since, until in spans(inside, stretch.terms.window):
            yield Stretch(stretch.terms, since, until)


def spans(starts: list[datetime], length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Join windows that follow one another."""
    since = until = None
    for start in starts:
        if start != until:
            if since is not None and until is not None:
                yield since, until
            since = start
        until = start + length
    if since is not None and until is not None:
        yield since, until
