"""Which windows are in scope: from the meter's start on, and those explicitly backfilled. Nothing looks elsewhere."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger


def in_scope(ledger: Ledger, meter: Meter, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The parts of `[since, until)` in scope: windows backfilled, and those from the meter's start on."""
    start = meter.start
    if since < start:
        table = tables.window
        with ledger.transaction() as connection:
            backfilled = connection.execute(
                select(table.c.start)
                .where(table.c.meter == meter.name, table.c.start >= since, table.c.start < min(start, until))
                .order_by(table.c.start)
            ).scalars()
            earlier = [moment.astimezone(UTC) for moment in backfilled]
        for stretch in meter.timeline.stretches(since, min(start, until)):
            inside = [moment for moment in earlier if stretch.since <= moment < stretch.until]
            yield from spans(inside, stretch.terms.window)
    if max(since, start) < until:
        yield max(since, start), until


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
