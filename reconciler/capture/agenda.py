"""The looks that the ledger keeps: which were cut off, which are due, which are done."""

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from psycopg.rows import scalar_row
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from reconciler.database.postgres import execute
from reconciler.ledger import tables
from reconciler.ledger.store import Ledger

Kept = Literal["probe", "deep", "backfill"]
"""The kinds of look that are kept; a fresh look has the watermark."""

Look = Row[Any]
"""A row of reconciler.look."""

table = tables.look

_UNFINISHED = select(table).where(table.c.meter == bindparam("of"), table.c.finished_at.is_(None)).order_by(table.c.id)


class Todo(NamedTuple):
    """The looks that were cut off, oldest first, and the kinds of which a new one is due."""

    unfinished: list[Look]
    due: list[Kept]


class Agenda:
    """One meter's looks in the ledger."""

    def __init__(self, meter: str, ledger: Ledger, *, pauses: dict[Kept, float]) -> None:
        """Read nothing yet.

        Args:
            meter: whose looks.
            ledger: where they are.
            pauses: the seconds after a look of a kind until the next one is due.
        """
        self._meter = meter
        self._ledger = ledger
        self._pauses = pauses

    def todo(self) -> Todo:
        """What there is to do."""
        kinds, pauses = list(self._pauses), [timedelta(seconds=pause) for pause in self._pauses.values()]
        values = {"meter": self._meter, "kinds": kinds, "pauses": pauses}
        with self._ledger.transaction() as connection:
            due: list[Kept] = execute(connection, "capture/due_looks", values, scalar_row).fetchall()
            return Todo(list(connection.execute(_UNFINISHED, {"of": self._meter})), due)

    def begin(self, kind: Kept, since: datetime, until: datetime) -> Look:
        """A new look over `[since, until)`."""
        with self._ledger.transaction() as connection:
            return self._insert(connection, kind, since, until)

    def backfill(self, since: datetime, until: datetime) -> Look:
        """The backfill from `since` on that was cut off, now up to `until` at least; or a new one."""
        with self._ledger.transaction() as connection:
            found = connection.execute(
                update(table)
                .where(
                    table.c.meter == self._meter,
                    table.c.kind == "backfill",
                    table.c.since == since,
                    table.c.finished_at.is_(None),
                )
                .values(until=func.greatest(table.c.until, until))
                .returning(table)
            ).first()
            return found or self._insert(connection, "backfill", since, until)

    def finish(self, look: Look) -> None:
        """Note that the look is done."""
        with self._ledger.transaction() as connection:
            done = update(table).where(table.c.id == look.id)
            connection.execute(done.values(finished_at=func.clock_timestamp()))

    def _insert(self, connection: Connection, kind: Kept, since: datetime, until: datetime) -> Look:
        values = {"meter": self._meter, "kind": kind, "since": since, "until": until, "position": since}
        return connection.execute(insert(table).values(values).returning(table)).one()
