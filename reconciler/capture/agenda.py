"""The looks that the ledger keeps: which were cut off, which are due, which are done."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from reconciler.ledger import tables
from reconciler.ledger.store import Ledger

Kept = Literal["probe", "deep", "backfill"]
"""The kinds of look that are kept; a fresh look has the watermark."""

Look = Row[Any]
"""A row of reconciler.look."""

table = tables.look


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

    def unfinished(self) -> list[Look]:
        """The looks that were cut off, oldest first."""
        with self._ledger.transaction() as connection:
            query = select(table).where(table.c.meter == self._meter, table.c.finished_at.is_(None))
            return list(connection.execute(query.order_by(table.c.id)))

    def is_due(self, kind: Kept) -> bool:
        """Whether it is time for a look of that kind."""
        values = {"meter": self._meter, "kind": kind, "pause": f"{self._pauses[kind]} seconds"}
        [(is_due,)] = self._ledger.once("capture/look_is_due", values)
        return bool(is_due)

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
