"""One chunk: compare a span of windows with the source and plan what differs, in one ledger transaction.

The order is what makes concurrent passes safe: the meter's turn first, then the source's totals, then how far
retention has come and what is billed. In one database the last three are one statement, so of one snapshot; in two,
each statement sees all that was committed before it.
"""

from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.capture.source import Sight, Source, copy
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import cursor
from reconciler.database.statements import escaped, statement
from reconciler.ledger import alarms
from reconciler.ledger.store import Ledger
from reconciler.model.durations import iso_duration
from reconciler.model.terms import Stretch, Terms
from reconciler.report.figures import Tally
from reconciler.settings.meter import MeterSettings


class Planner:
    """Compares and plans chunks of one meter."""

    def __init__(
        self, meter: MeterSettings, source: Source, sight: Sight, ledger: Ledger, *, one_database: bool
    ) -> None:
        """Take what a pass has found out; nothing is read yet."""
        self._meter = meter
        self._source = source
        self._sight = sight
        self._ledger = ledger
        self._one_database = one_database
        self._subscriptions = Subscriptions(meter)

    def plan(self, connection: Connection, stretch: Stretch) -> Tally:
        """Compare the stretch's windows, plan their deltas, and record what was seen.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            stretch: whole settled windows in scope.

        Returns:
            The chunk's figures. That retention has overtaken the watermark is rung in the same transaction.
        """
        self._subscriptions.load(connection)
        values = {
            "meter": self._meter.name,
            "since": stretch.since,
            "until": stretch.until,
            "length": stretch.terms.window,
            **self._plan_values(stretch.terms),
        }
        whole = self._statement(*self._totals(connection, stretch))
        row = cursor(connection).connection.cursor(row_factory=dict_row).execute(whole, values).fetchone()
        assert row is not None
        mark, watermark = row.pop("overtaken"), row.pop("watermark")
        if mark is not None and not self._ledger.is_dry:
            alarms.ring(connection, self._meter.name, alarms.overtaken(mark, watermark))
        return Tally(**row)

    def counts(self, connection: Connection, stretch: Stretch) -> None:
        """Count the stretch's rows by window into the temp table counts."""
        counts = self._source.counts(stretch.terms, stretch.since, stretch.until)
        table = sql.Identifier("pg_temp", "counts")
        cursor(connection).execute(statement("capture/counts_table"))
        if self._one_database:
            cursor(connection).execute(sql.SQL("INSERT INTO {} {}").format(table, counts))
        else:
            with self._source.transaction() as read:
                copy(counts, table, read, connection)

    def _totals(self, connection: Connection, stretch: Stretch) -> tuple[sql.Composable, sql.Composable]:
        """The totals, and the start of the oldest row: as SQL for the ledger's transaction.

        Where the source is another database, how far retention has come is asked after the totals: so what it deleted
        before them is known for deleted.
        """
        totals = self._source.totals(self._sight, stretch.terms, stretch.since, stretch.until)
        if self._one_database:
            return escaped(totals), escaped(self._source.oldest())
        cursor(connection).execute(statement("capture/totals_table"))
        with self._source.transaction() as read:
            copy(totals, sql.Identifier("pg_temp", "totals"), read, connection)
            row = cursor(read).execute(self._source.oldest()).fetchone()
        assert row is not None
        return sql.SQL("TABLE pg_temp.totals"), sql.SQL("SELECT {}::timestamptz").format(sql.Literal(row[0]))

    def _statement(self, totals: sql.Composable, oldest: sql.Composable) -> sql.Composed:
        """The chunk's statement, put together from those in sql/."""
        return statement("capture/chunk").format(
            totals=totals,
            purge_mark=statement("capture/purge_mark").format(oldest=oldest),
            compare=statement("capture/compare").format(
                subscription=self._subscriptions.expression, mapping=self._subscriptions.join
            ),
            plan=sql.SQL("TABLE delta") if self._ledger.is_dry else self._plan_statement(),
            look_at_windows=statement("capture/look_at_windows"),
            record_windows=statement("capture/record_windows"),
        )

    def _plan_statement(self) -> sql.Composed:
        documented = sql.SQL("""'"input_tokens":', input_tokens, ',"output_tokens":', output_tokens""")
        callback = sql.SQL(
            """'"prompt_tokens":', input_tokens, ',"completion_tokens":', output_tokens,
               ',"total_tokens":', input_tokens + output_tokens"""
        )
        tokens: dict[str, sql.Composable] = {
            "documented": documented,
            "callback": callback,
            "both": sql.SQL(", ',', ").join([documented, callback]),
        }
        cents = """',"precise_total_amount_cents":"', trim_scale(cost * 100), '"',"""
        return statement("capture/plan").format(
            tokens=tokens[self._meter.properties],
            cents=sql.SQL(cents if self._meter.precise_cents else ""),
        )

    def _plan_values(self, terms: Terms) -> dict[str, Any]:
        return {
            "meter": self._meter.name,
            "code": terms.code,
            "event_field": self._meter.event_field,
            "framed_meter": "".join(
                f"{len(text.encode())}:{text}" for text in (self._meter.name, terms.code, terms.charge_by)
            ),
            "iso_length": iso_duration(terms.window_seconds),
            "window_seconds": terms.window_seconds,
        }


class ChunkSize:
    """How much to look at in one transaction: as much as takes about two seconds.

    So that others get their turn, a kill loses little, and no statement runs into its time limit.
    """

    TARGET_SECONDS = 2.0

    def __init__(self) -> None:
        """Begin with what a usual fresh look takes: its look-back and what is new."""
        self._span = timedelta(hours=2)

    def until(self, stretch: Stretch, position: datetime) -> datetime:
        """Where the chunk that begins at the position ends: at least one whole window further."""
        count = max(1, self._span // stretch.terms.window)
        return min(stretch.until, position + count * stretch.terms.window)

    def took(self, seconds: float) -> None:
        """Learn from a chunk: as much more or less as the time it took suggests, within bounds."""
        factor = min(max(self.TARGET_SECONDS / max(seconds, 0.001), 0.5), 4.0)
        self._span = min(self._span * factor, timedelta(days=366))

    def cut(self, chunk: Stretch) -> bool:
        """Take less after a chunk that ran out of time; say whether there is less to take."""
        self._span = (chunk.until - chunk.since) / 4
        return chunk.until - chunk.since > chunk.terms.window
