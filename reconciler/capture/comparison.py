"""Source and ledger compared, in one transaction of the ledger: to plan, or for what people want to know.

The order is what makes concurrent passes safe: the meter's turn first, then the source's totals, then how far
retention has come, then what is billed. Each statement sees all that was committed before it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from psycopg.rows import RowFactory
from sqlalchemy import Connection

from reconciler.capture.bring import Bringer
from reconciler.capture.source import Sight, Source, values
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import cursor, execute
from reconciler.database.statements import statement
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch
from reconciler.settings.meter import MeterSettings


class Comparison:
    """Compares stretches of one meter's windows. What it returns of a statement are its rows, made by `row`."""

    def __init__(
        self,
        meter: MeterSettings,
        source: Source,
        sight: Sight,
        ledger: Ledger,
        *,
        one_database: bool,
        settled: datetime,
        only: str | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            meter: the meter's settings.
            source: the spend table.
            sight: what it looks like.
            ledger: what is billed.
            one_database: whether it is where the spend table is.
            settled: the end of the newest settled window.
            only: compare only what goes to this subscription; None compares all.
        """
        self._meter = meter
        self._source = source
        self._sight = sight
        self._bring = Bringer(source, sight, ledger, one_database=one_database)
        self._subscriptions = Subscriptions(meter)
        self._settled = settled
        self._only = only

    def bring(self, connection: Connection, stretch: Stretch) -> dict[str, Any]:
        """Bring what is compared into the transaction, which holds the meter's turn.

        Returns:
            The values of a statement that compares the stretch: whole settled windows in scope, or the first part of
            one that is still open.

        Raises:
            SourceError: a column that these windows' terms need can't be read.
        """
        self._source.check(self._sight, stretch.terms)
        counted = self._counted(connection)
        oldest = self._bring.totals(connection, stretch, counted)
        self._subscriptions.load(connection)
        meter = {"meter": self._meter.name, "template": self._meter.subscription, "only": self._only}
        return values(stretch) | meter | {"counted": counted, "oldest": oldest, "settled": self._settled}

    @property
    def compared(self) -> sql.Composed:
        """The front of a statement that compares what was brought."""
        subscription = self._subscriptions.expression
        only = sql.SQL("" if self._only is None else "WHERE {} = %(only)s").format(subscription)
        return statement("capture/compared").format(
            purge_mark=statement("capture/purge_mark"),
            compare=statement("capture/compare").format(
                subscription=subscription, mapping=self._subscriptions.join, only=only
            ),
        )

    def ask(self, connection: Connection, name: str, given: Mapping[str, Any], row: RowFactory[Any]) -> list[Any]:
        """What `sql/<name>.sql` says of what was brought; `given` are its values."""
        return cursor(connection, row).execute(statement(name).format(compared=self.compared), given).fetchall()

    def rows(
        self,
        connection: Connection,
        name: str,
        stretch: Stretch,
        row: RowFactory[Any],
        further: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """What `sql/<name>.sql` says of a stretch; nothing is changed. `further` are values that only it has."""
        with connection.begin_nested() as savepoint:
            given = self.bring(connection, stretch) | dict(further or {})
            found = self.ask(connection, name, given, row)
            savepoint.rollback()
        return found

    def differing(self, connection: Connection, stretch: Stretch, scope: datetime) -> list[datetime]:
        """The starts of the stretch's windows whose row count is not the one that the ledger recorded.

        Args:
            connection: the ledger's transaction.
            stretch: whole settled windows.
            scope: from here on also windows count that the ledger has not looked at.
        """
        self._bring.counts(connection, stretch)
        given = values(stretch) | {"meter": self._meter.name, "scope": scope}
        rows = execute(connection, "capture/differing_windows", given).fetchall()
        return [start.astimezone(UTC) for (start,) in rows]

    def _counted(self, connection: Connection) -> datetime | None:
        """From where on the source's oldest row says how far retention has come; None if nowhere."""
        row = execute(connection, "capture/counted", {"meter": self._meter.name}).fetchone()
        return row[0] if row else None
