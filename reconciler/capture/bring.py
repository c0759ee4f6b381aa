"""What the source says, brought into the ledger's transaction as temp tables: no table of others is touched after that.

In one database nothing leaves it; in two, rows stream across by COPY.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql
from sqlalchemy import Connection

from reconciler.capture.source import Sight, Source, values
from reconciler.database.postgres import cursor, execute, guarded
from reconciler.database.statements import identifier
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch

BLOCK = 2**20
"""Bytes that go to another database at once."""


class Bringer:
    """Brings totals or counts of a stretch of windows."""

    def __init__(self, source: Source, sight: Sight, ledger: Ledger, *, one_database: bool) -> None:
        """Take what a pass has found out; nothing is read yet."""
        self._source = source
        self._sight = sight
        self._ledger = ledger
        self._one_database = one_database

    def totals(self, connection: Connection, stretch: Stretch) -> None:
        """Fill the temp table `totals`."""
        self._fill(connection, "totals", self._source.totals(self._sight, stretch.terms), values(stretch))

    def oldest(self, connection: Connection, since: datetime) -> datetime | None:
        """The start of the source's oldest row from `since` on, None if there is none.

        How far retention has come is asked after the totals: so what it deleted before them is known for deleted.
        """
        if not self._one_database:
            return self._source.oldest_row(since)
        with guarded(connection):
            row = cursor(connection).execute(self._source.oldest(), {"oldest_from": since}).fetchone()
        return row[0].astimezone(UTC) if row and row[0] else None

    def counts(self, connection: Connection, stretch: Stretch) -> None:
        """Fill the temp table `counts`."""
        self._fill(connection, "counts", self._source.counts(), values(stretch))

    def requests(self, connection: Connection, stretch: Stretch, reach: timedelta) -> None:
        """Add rows to the temp table `requests`, each by itself.

        Args:
            connection: the ledger's transaction.
            stretch: whose; no two of one transaction may overlap.
            reach: after so long a request is taken to have ended, where that can't be read.
        """
        read = self._source.requests(self._sight, stretch.terms)
        self._fill(connection, "requests", read, values(stretch) | {"reach": reach})

    def _fill(self, connection: Connection, name: str, read: sql.Composed, values: Mapping[str, Any]) -> None:
        table = identifier("pg_temp", name)
        execute(connection, f"capture/{name}_table")
        if self._one_database:
            with guarded(connection):
                cursor(connection).execute(sql.SQL("INSERT INTO {} {}").format(table, read), values)
            return
        with self._source.transaction() as source:
            copy(read, values, table, source, connection, errors_of_write=self._ledger.plain_errors)


def copy(
    statement_: sql.Composed,
    values: Mapping[str, Any],
    table: sql.Identifier,
    read: Connection,
    write: Connection,
    *,
    errors_of_write: Callable[[], AbstractContextManager[None]],
) -> None:
    """Stream the rows of a SELECT in one database into a table of another; memory stays flat.

    Block by block, each a COPY of its own: the server that is written to waits between them as in any transaction, and
    ends it should this program be frozen. Within a COPY it would wait for ever. `errors_of_write` turns the errors of
    the one that is written to into sentences, which else would name the one that is read.
    """
    reading, writing = cursor(read), cursor(write)
    out = sql.SQL("COPY ({}) TO STDOUT").format(statement_)
    into = sql.SQL("COPY {} FROM STDIN").format(table)
    with reading.copy(out, values) as rows:
        for block in _blocks(rows):
            with errors_of_write(), writing.copy(into) as target:
                target.write(block)


def _blocks(rows: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """Whole rows, joined to a megabyte or so."""
    block = bytearray()
    for row in rows:
        block += row
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
