"""Which rows of the spend table one event's bucket is made of, read anew from the source; nothing is changed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from sqlalchemy import Connection, Select, func, select

from reconciler.capture.source import Source, open_source, values
from reconciler.ledger import changes, tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model.money import total
from reconciler.model.terms import Stretch
from reconciler.report import events
from reconciler.report.bucket import SpendRow, Told
from reconciler.report.events import Event
from reconciler.report.kept import kept
from reconciler.report.statement import Sums
from reconciler.report.status import known_meters, require_ledger
from reconciler.settings.load import Settings

_AT_ONCE = 1000


def tell(settings: Settings, customer: str, wanted: str) -> Told:
    """One event of a customer, and the rows of its bucket.

    Args:
        settings: where source and ledger are, and which meters.
        customer: whose event.
        wanted: its id, or a beginning that no other of the customer's has.

    Raises:
        UsageError: the customer has no such event, or more than one.
        ReconcileError: source or ledger can't be used, or the meter reads from another source.
    """
    ledger = open_ledger(settings)
    source = open_source(settings, ledger)
    try:
        with ledger.transaction() as connection:
            require_ledger(connection)
            known = {meter.name: meter for _, meter in known_meters(connection, settings)}
            only = settings.meters[0].name if len(settings.meters) == 1 else None
            event = events.chosen(connection, wanted, only, state=None, customer=customer)
            model, number, billed = _bucket(connection, event)
        sums = Sums()
        rows = kept(sums.over(_rows(source, known[event.meter], event, customer, model)), SpendRow)
        return Told(event, number, billed, sums.figures, rows)
    finally:
        source.close()
        ledger.close()


def _bucket(connection: Connection, event: Event) -> tuple[str, int, Decimal]:
    """The model of an event's bucket at length, how many events it has, and what is billed of it, less credits."""

    def of(table: Any, *columns: Any) -> Select[Any]:
        known = table.meter == event.meter, table.window_start == event.window_start, table.bucket == event.bucket
        return select(*columns).where(*known)

    billed, credited = tables.event.c, tables.credit.c
    model, number, cost = connection.execute(
        of(billed, func.max(billed.model), func.count(), func.sum(billed.cost))
    ).one()
    credit = connection.scalar(of(credited, func.sum(credited.cost)).where(credited.undone_at.is_(None)))
    taken = connection.scalar(of(tables.takeover.c, func.sum(tables.takeover.c.cost)))
    return model, number, total([cost, taken or Decimal(), -(credit or Decimal())])


def _rows(source: Source, meter: Meter, event: Event, customer: str, model: str) -> Iterator[SpendRow]:
    """The rows of a bucket, some at a time by a cursor of the server's."""
    sight = source.sight()
    changes.refuse_moved(meter, source=asdict(sight.place))
    start = event.window_start.astimezone(UTC)
    stretch = Stretch(meter.timeline.at(start), start, meter.timeline.window_end(start))
    source.check(sight, stretch.terms)
    query = source.bucket_rows(sight, stretch.terms)
    with source.transaction() as connection:
        yield from _streamed(connection, query, values(stretch) | {"customer": customer, "model": model})


def _streamed(connection: Connection, query: sql.Composed, given: Mapping[str, Any]) -> Iterator[SpendRow]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor("rows", row_factory=class_row(SpendRow)) as rows:
        rows.itersize = _AT_ONCE
        rows.execute(query, given)
        yield from rows
