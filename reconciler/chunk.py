"""One chunk: compare a span of windows with the source and plan what differs, in one ledger transaction.

The order is what makes concurrent passes safe: the meter's turn first, then the source's totals, then how far
retention has come, then what is billed. Each statement sees all that was committed before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.durations import iso_duration
from reconciler.ledger.store import Ledger
from reconciler.ledger.terms import Stretch, Terms, Timeline
from reconciler.mapping import Subscriptions
from reconciler.meter_settings import MeterSettings
from reconciler.postgres import cursor
from reconciler.source import Sight, Source, copy
from reconciler.statements import statement


@dataclass
class Tally:
    """What looks found, summed: the figures of a run's summary."""

    windows: int = 0
    events_planned: int = 0
    rows: int = 0
    cost_planned: Decimal = field(default_factory=Decimal)
    unattributed_rows: int = 0
    unattributed_cost: Decimal = field(default_factory=Decimal)
    suspect_rows: int = 0
    frozen_buckets: int = 0
    unmapped_buckets: int = 0

    def add(self, other: "Tally") -> None:
        """Add another tally to this one."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True)
class Found:
    """One chunk's result.

    Attributes:
        tally: its figures.
        overtaken: the purge mark, if it moved in this chunk and is now past the watermark.
    """

    tally: Tally
    overtaken: datetime | None


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

    def plan(self, connection: Connection, stretch: Stretch, timeline: Timeline) -> Found:
        """Compare the stretch's windows, plan their deltas, and record what was seen.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            stretch: whole settled windows in scope.
            timeline: the meter's terms; the oldest row may lie in a window of others than the stretch's.
        """
        work = cursor(connection)
        span = {
            "meter": self._meter.name,
            "since": stretch.since,
            "until": stretch.until,
            "length": stretch.terms.window,
        }
        work.execute(statement("totals_table"))
        with self.reading(connection) as read:
            self._gather(read, connection, stretch)
            oldest = self._source.oldest(read)
        overtaken, purge_mark = self._purged(connection, timeline, oldest)
        self._subscriptions.load(connection)
        work.execute(
            statement("compare").format(subscription=self._subscriptions.expression, mapping=self._subscriptions.join),
            {**span, "purge_mark": purge_mark},
        )
        if not self._ledger.is_dry:
            work.execute(self._plan_statement(), self._plan_values(stretch.terms))
        recorded = work.connection.cursor(row_factory=dict_row)
        row = recorded.execute(statement("record_windows"), {**span, "purge_mark": purge_mark}).fetchone()
        assert row is not None
        work.execute("DROP TABLE IF EXISTS pg_temp.totals, pg_temp.delta, pg_temp.mapping")
        return Found(Tally(**row), overtaken)

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[Connection]:
        """The transaction that reads the source: the ledger's own where the two are one database."""
        if self._one_database:
            yield connection
        else:
            with self._source.transaction() as read:
                yield read

    def counts(self, connection: Connection, stretch: Stretch) -> None:
        """Count the stretch's rows by window into the temp table counts."""
        cursor(connection).execute(statement("counts_table"))
        counts = self._source.counts(stretch.terms, stretch.since, stretch.until)
        with self.reading(connection) as read:
            self._bring(read, connection, counts, "counts")

    def _gather(self, read: Connection, connection: Connection, stretch: Stretch) -> None:
        totals = self._source.totals(self._sight, stretch.terms, stretch.since, stretch.until)
        self._bring(read, connection, totals, "totals")

    def _bring(self, read: Connection, write: Connection, rows: sql.Composed, table: str) -> None:
        into = sql.Identifier("pg_temp", table)
        if read is write:
            cursor(write).execute(sql.SQL("INSERT INTO {} {}").format(into, rows))
        else:
            copy(rows, into, read, write)

    def _purged(
        self, connection: Connection, timeline: Timeline, oldest: datetime | None
    ) -> tuple[datetime | None, datetime | None]:
        """Move the purge mark if retention went on; return it as (overtaken, mark)."""
        work = cursor(connection)
        moved = None
        if oldest is not None:
            values = {"meter": self._meter.name, "oldest_window": timeline.floor(oldest)}
            moved = work.execute(statement("purge_mark"), values).fetchone()
        if moved is not None:
            mark, watermark = moved
            assert isinstance(mark, datetime)
            assert isinstance(watermark, datetime)
            return (mark.astimezone(UTC) if mark > watermark else None), mark
        row = work.execute("SELECT purge_mark FROM reconciler.meter WHERE name = %s", (self._meter.name,)).fetchone()
        mark = row[0] if row else None
        assert mark is None or isinstance(mark, datetime)
        return None, mark

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
        return statement("plan").format(
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
        """Begin with an hour of usage."""
        self._span = timedelta(hours=1)

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
