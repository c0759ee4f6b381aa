"""One chunk: compare a span of windows with the source and plan what differs, in one ledger transaction.

The order is what makes concurrent passes safe: the meter's turn first, then the source's totals, then how far
retention has come, then what is billed. Each statement sees all that was committed before it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from psycopg.rows import RowFactory, dict_row
from sqlalchemy import Connection

from reconciler.capture.bring import Bringer
from reconciler.capture.source import Sight, Source, values
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import cursor, execute
from reconciler.database.statements import statement
from reconciler.ledger.kinds.source import overtaken
from reconciler.ledger.store import Ledger
from reconciler.model.durations import iso_duration
from reconciler.model.terms import Stretch, Terms
from reconciler.report.figures import Tally
from reconciler.settings.meter import MeterSettings


class Planner:
    """Compares and plans chunks of one meter."""

    def __init__(
        self,
        meter: MeterSettings,
        source: Source,
        sight: Sight,
        ledger: Ledger,
        *,
        one_database: bool,
        settled: datetime,
        batch: int = 100,
    ) -> None:
        """Take what a pass has found out; nothing is read yet. `settled` is the end of the newest settled window."""
        self._meter = meter
        self._ledger = ledger
        self._bring = Bringer(source, sight, ledger, one_database=one_database)
        self._settled = settled
        self._batch = batch
        self._subscriptions = Subscriptions(meter)

    def plan(self, connection: Connection, stretch: Stretch) -> Tally:
        """Compare the stretch's windows, plan their deltas, and record what was seen.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            stretch: whole settled windows in scope.

        Returns:
            The chunk's figures. That retention has overtaken the watermark is rung in the same transaction.
        """
        given = self._compared(connection, stretch)
        row = cursor(connection, dict_row).execute(self._statement(), given).fetchone()
        assert row is not None
        mark, watermark = row.pop("overtaken"), row.pop("watermark")
        if mark is not None:
            self._ledger.ring(connection, self._meter.name, overtaken(mark, watermark))
        return Tally(**row)

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

    def compared(
        self,
        connection: Connection,
        name: str,
        stretch: Stretch,
        row: RowFactory[Any],
        further: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """The rows of the statement `sql/<name>.sql`, which compares as a plan does; nothing is changed.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            name: the statement.
            stretch: whole settled windows in scope.
            row: makes its rows.
            further: values of the statement beside those that compare.
        """
        with connection.begin_nested() as savepoint:
            given = {**self._compared(connection, stretch), **(further or {})}
            whole = statement(name).format(**self._comparison())
            rows = cursor(connection, row).execute(whole, given).fetchall()
            savepoint.rollback()
        return rows

    def _compared(self, connection: Connection, stretch: Stretch) -> dict[str, Any]:
        """Bring what is compared into the transaction; return the values of the statement that compares it."""
        self._bring.totals(connection, stretch)
        self._subscriptions.load(connection)
        counted = self._counted(connection)
        oldest = self._bring.oldest(connection, counted) if counted else None
        how_far = {"counted": counted, "oldest": oldest, "settled": self._settled}
        return values(stretch) | self._plan_values(stretch.terms) | how_far

    def _comparison(self) -> dict[str, sql.Composable]:
        """The parts of a statement that compares: how far retention has come, and what differs."""
        return {
            "purge_mark": statement("capture/purge_mark"),
            "compare": statement("capture/compare").format(
                subscription=self._subscriptions.expression, mapping=self._subscriptions.join
            ),
        }

    def _counted(self, connection: Connection) -> datetime | None:
        """From where on the source's oldest row says how far retention has come; None if nowhere."""
        row = execute(connection, "capture/counted", {"meter": self._meter.name}).fetchone()
        return row[0] if row else None

    def _statement(self) -> sql.Composed:
        """The chunk's statement, put together from those in sql/."""
        return statement("capture/chunk").format(
            **self._comparison(),
            place=statement("capture/place"),
            batches=statement("capture/batches"),
            record_batches=sql.SQL("TABLE delta") if self._ledger.is_dry else statement("capture/record_batches"),
            plan=sql.SQL("TABLE delta") if self._ledger.is_dry else statement("capture/plan").format(),
            look_at_windows=statement("capture/look_at_windows"),
            record_windows=statement("capture/record_windows"),
            unbilled_customers=statement("capture/unbilled_customers"),
            found_unbilled=statement("capture/found_unbilled"),
            forget_unbilled=statement("capture/forget_unbilled"),
            record_unbilled=statement("capture/record_unbilled"),
        )

    def _plan_values(self, terms: Terms) -> dict[str, Any]:
        """The values of compare.sql, plan.sql and record_windows.sql."""
        return {
            "meter": self._meter.name,
            "code": terms.code,
            "event_field": self._meter.event_field,
            "template": self._meter.subscription,
            "properties": self._meter.properties,
            "precise_cents": self._meter.precise_cents,
            "framed_meter": "".join(
                f"{len(text.encode())}:{text}" for text in (self._meter.name, terms.code, terms.charge_by)
            ),
            "iso_length": iso_duration(terms.window_seconds),
            "window_seconds": terms.window_seconds,
            "batch_size": self._batch,
        }
