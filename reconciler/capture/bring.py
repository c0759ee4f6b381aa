"""What the source says, brought into the ledger's transaction as temp tables: no table of others is touched after that.

In one database nothing leaves it; in two, rows stream across by COPY.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
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

    def totals(self, connection: Connection, stretch: Stretch, counted: datetime | None) -> datetime | None:
        """Fill the temp table `totals`.

        How far retention has come is asked after that: so what it deleted before it is known for deleted.

        Returns:
            The start of the source's oldest row from `counted` on; None if there is none, or if `counted` is None.
        """
        read = self._source.totals(self._sight, stretch.terms)
        with self._filled(connection, "totals", read, values(stretch)) as source:
            return None if counted is None else self._oldest(source, counted)

    def oldest(self, connection: Connection, since: datetime) -> datetime | None:
        """The start of the source's oldest row from `since` on, None if there is none."""
        with self._reading(connection) as source:
            return self._oldest(source, since)

    def counts(self, connection: Connection, stretch: Stretch) -> None:
        """Fill the temp table `counts`."""
        with self._filled(connection, "counts", self._source.counts(), values(stretch)):
            pass

    def requests(self, connection: Connection, stretch: Stretch, reach: timedelta) -> None:
        """Add rows to the temp table `requests`, each by itself.

        Args:
            connection: the ledger's transaction.
            stretch: whose; no two of one transaction may overlap.
            reach: after so long a request is taken to have ended, where that can't be read.
        """
        read = self._source.requests(self._sight, stretch.terms)
        with self._filled(connection, "requests", read, values(stretch) | {"reach": reach}):
            pass

    @contextmanager
    def _filled(
        self, connection: Connection, name: str, read: sql.Composed, values: Mapping[str, Any]
    ) -> Iterator[Connection]:
        """Fill a temp table; the body may read on."""
        table = identifier("pg_temp", name)
        execute(connection, f"capture/{name}_table")
        with self._reading(connection) as source:
            if self._one_database:
                cursor(source).execute(sql.SQL("INSERT INTO {} {}").format(table, read), values)
            else:
                copy(read, values, table, source, connection, errors_of_write=self._ledger.plain_errors)
            yield source

    @contextmanager
    def _reading(self, connection: Connection) -> Iterator[Connection]:
        """Where the body can read the source, and change no table."""
        if self._one_database:
            with guarded(connection):
                yield connection
        else:
            with self._source.transaction() as source:
                yield source

    def _oldest(self, source: Connection, since: datetime) -> datetime | None:
        row = cursor(source).execute(self._source.oldest(), {"oldest_from": since}).fetchone()
        return row[0].astimezone(UTC) if row and row[0] else None


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
