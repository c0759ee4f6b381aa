"""What a pass looks at: always whole settled windows in scope, chunk by chunk.

- fresh: from the watermark less the look-back to the newest settled window;
- probe: row counts over the horizon, about hourly; windows that differ get exact totals;
- deep: exact totals over the horizon, about daily;
- backfill: exact totals of the windows that a `--since` asked for.

Each chunk is a transaction of its own that waits for the meter's turn, so that the others' fresh looks come
between, and each records how far it came, so that a killed look goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Row, func, insert, select, update

from reconciler.capture.planner import ChunkSize, Planner
from reconciler.database.postgres import cursor, timed_out
from reconciler.database.statements import statement
from reconciler.ledger import meters, tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError
from reconciler.model.terms import Stretch
from reconciler.report.figures import Tally
from reconciler.report.progress import Kind

Progress = Callable[[Kind, datetime, datetime, datetime], None]
"""Told after each chunk: the kind of look, its since and until, and the position reached."""

DUE = {"probe": timedelta(hours=1), "deep": timedelta(days=1)}


class NoTurnError(ReconcileError):
    """Another pass holds the meter's turn for longer than this one may wait."""


class StoppedError(ReconcileError):
    """The pass was told to stop before it was done; nothing is lost."""


@dataclass
class Seen:
    """What the looks of one pass saw.

    Attributes:
        tally: their figures.
        since: the earliest window looked at; None if there was none.
        until: the end of the latest.
    """

    tally: Tally = field(default_factory=Tally)
    since: datetime | None = None
    until: datetime | None = None

    def add(self, stretch: Stretch, tally: Tally) -> None:
        """Take in one chunk."""
        self.tally.add(tally)
        self.since = min(self.since or stretch.since, stretch.since)
        self.until = max(self.until or stretch.until, stretch.until)


class Looks:
    """The looks of one pass over one meter."""

    def __init__(
        self,
        meter: Meter,
        planner: Planner,
        ledger: Ledger,
        *,
        now: datetime,
        settle: timedelta,
        lookback: timedelta,
        horizon: timedelta,
        wait_seconds: float,
        stopping: Event,
        progress: Progress,
    ) -> None:
        """Take what the pass found out.

        Args:
            meter: as it was at the pass's start.
            planner: compares and plans chunks.
            ledger: where positions are kept.
            now: the source's clock.
            settle: how long after its end a window is settled.
            lookback: how far before the watermark a fresh look begins.
            horizon: how far back probes and deep looks go.
            wait_seconds: how long to wait for the meter's turn.
            stopping: set when the pass should end after its present chunk.
            progress: told after each chunk.
        """
        self._meter = meter
        self._planner = planner
        self._ledger = ledger
        self._wait_seconds = wait_seconds
        self._stopping = stopping
        self._progress = progress
        self._size = ChunkSize()
        self._working_since = 0.0  # when the chunk in hand got its turn
        self.seen = Seen()
        self.newest = meter.timeline.floor(now - settle)
        """The end of the newest settled window."""
        self.fresh_since = max(meter.start, meter.timeline.floor(meter.watermark - lookback))
        """Where the fresh look begins."""
        self._horizon = meter.timeline.floor(now - horizon)

    def fresh(self) -> None:
        """Look at what is new, and move the watermark with each chunk.

        Raises:
            NoTurnError: another pass is at it.
        """
        for stretch in self._meter.timeline.stretches(self.fresh_since, self.newest):
            self._walk("fresh", stretch, _Watermark(self._meter.name))

    def due(self) -> None:
        """Do what is due: unfinished backfills, then a deep look or a probe."""
        with self._ledger.transaction() as connection:
            unfinished = connection.execute(
                select(tables.look)
                .where(tables.look.c.meter == self._meter.name, tables.look.c.finished_at.is_(None))
                .order_by(tables.look.c.id)
            ).all()
        for look in unfinished:
            if look.kind == "backfill":
                self._resume(look)
        if self._is_due("deep"):
            self._resume(self._begin("deep", unfinished))
        elif self._is_due("probe"):
            self._probe(self._begin("probe", unfinished))

    def backfill(self, since: datetime, until: datetime) -> None:
        """Look at `[since, until)`, whole windows; an earlier backfill from there that was cut off goes on."""
        if since >= until:
            return
        if self._ledger.is_dry:
            for stretch in self._meter.timeline.stretches(since, until):
                self._walk("backfill", stretch, _NoBookmark())
            return
        table = tables.look
        with self._ledger.transaction() as connection:
            look = connection.execute(
                update(table)
                .where(
                    table.c.meter == self._meter.name,
                    table.c.kind == "backfill",
                    table.c.since == since,
                    table.c.finished_at.is_(None),
                )
                .values(until=func.greatest(table.c.until, until))
                .returning(table)
            ).first() or self._insert(connection, "backfill", since, until)
        self._resume(look)

    def _resume(self, look: Row[Any]) -> None:
        """Do what is left of a deep look or a backfill; passes that do the same one share it."""
        since, until = look.since.astimezone(UTC), look.until.astimezone(UTC)
        position = max(since, look.position.astimezone(UTC))
        for span_since, span_until in self._in_scope(look.kind, position, until):
            for stretch in self._meter.timeline.stretches(span_since, span_until):
                self._walk(look.kind, stretch, _Position(look.id))
        self._finish(look.id)

    def _probe(self, look: Row[Any]) -> None:
        since, until = look.since.astimezone(UTC), look.until.astimezone(UTC)

        def probe(chunk: Stretch) -> None:
            for span in _spans(self._differing(chunk), chunk.terms.window):
                self._walk("probe", Stretch(chunk.terms, *span), _NoBookmark())
            self._progress("probe", since, until, chunk.until)

        for stretch in self._meter.timeline.stretches(since, until):
            self._by_chunks(stretch, probe)
        self._finish(look.id)

    def _differing(self, chunk: Stretch) -> list[datetime]:
        with self._ledger.transaction(planning=True) as connection:
            self._planner.counts(connection, chunk)
            values = {
                "meter": self._meter.name,
                "since": chunk.since,
                "until": chunk.until,
                "scope": self._meter.start,
            }
            rows = cursor(connection).execute(statement("capture/differing_windows"), values).fetchall()
        return [start.astimezone(UTC) for (start,) in rows if isinstance(start, datetime)]

    def _walk(self, kind: Kind, stretch: Stretch, bookmark: "Bookmark") -> None:
        """Plan a stretch chunk by chunk, each committed with how far it came."""

        def plan(chunk: Stretch) -> None:
            with self._ledger.transaction(planning=True) as connection:
                if not self._ledger.is_dry and not meters.lock(
                    connection, self._meter.name, wait_seconds=self._wait_seconds
                ):
                    raise NoTurnError(f"another pass of meter {self._meter.name!r} is running")
                self._working_since = time.monotonic()
                if bookmark.is_past(connection, chunk.until):
                    return
                tally = self._planner.plan(connection, chunk)
                bookmark.move(connection, chunk.until)
            self.seen.add(chunk, tally)
            self._progress(kind, stretch.since, stretch.until, chunk.until)

        self._by_chunks(stretch, plan)

    def _by_chunks(self, stretch: Stretch, work: Callable[[Stretch], None]) -> None:
        """Do the work on chunks whose size follows from how long each took; one that takes too long is cut."""
        position = stretch.since
        while position < stretch.until:
            if self._stopping.is_set():
                raise StoppedError("the pass was told to stop; the next one goes on")
            chunk = Stretch(stretch.terms, position, self._size.until(stretch, position))
            self._working_since = time.monotonic()
            try:
                work(chunk)
            except ReconcileError as error:
                if timed_out(error) and self._size.cut(chunk):
                    continue
                raise
            self._size.took(time.monotonic() - self._working_since)
            position = chunk.until

    def _in_scope(self, kind: Kind, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The parts of `[since, until)` in scope: a backfill's own, else windows backfilled and from the start on."""
        start = self._meter.start
        if kind == "backfill" or start <= since:
            if since < until:
                yield since, until
            return
        table = tables.window
        with self._ledger.transaction() as connection:
            backfilled = connection.execute(
                select(table.c.start)
                .where(
                    table.c.meter == self._meter.name,
                    table.c.start >= since,
                    table.c.start < min(start, until),
                )
                .order_by(table.c.start)
            ).scalars()
            earlier = [moment.astimezone(UTC) for moment in backfilled]
        for stretch in self._meter.timeline.stretches(since, min(start, until)):
            inside = [moment for moment in earlier if stretch.since <= moment < stretch.until]
            yield from _spans(inside, stretch.terms.window)
        if start < until:
            yield start, until

    def _is_due(self, kind: Literal["probe", "deep"]) -> bool:
        table = tables.look
        with self._ledger.transaction() as connection:
            last = connection.scalar(
                select(
                    func.coalesce(
                        select(func.max(table.c.finished_at))
                        .where(table.c.meter == self._meter.name, table.c.kind == kind)
                        .scalar_subquery(),
                        select(tables.meter.c.created_at)
                        .where(tables.meter.c.name == self._meter.name)
                        .scalar_subquery(),
                    )
                )
            )
            now = connection.scalar(select(func.clock_timestamp()))
        return last is not None and now is not None and now - last >= DUE[kind]

    def _begin(self, kind: Literal["probe", "deep"], unfinished: Sequence[Row[Any]]) -> Row[Any]:
        """The look of that kind that was cut off, or a new one over the horizon."""
        for look in unfinished:
            if look.kind == kind:
                return look
        with self._ledger.transaction() as connection:
            return self._insert(connection, kind, self._horizon, max(self._horizon, self.fresh_since))

    def _insert(self, connection: Connection, kind: Kind, since: datetime, until: datetime) -> Row[Any]:
        values = {"meter": self._meter.name, "kind": kind, "since": since, "until": until, "position": since}
        return connection.execute(insert(tables.look).values(values).returning(tables.look)).one()

    def _finish(self, look_id: int) -> None:
        table = tables.look
        with self._ledger.transaction() as connection:
            connection.execute(update(table).where(table.c.id == look_id).values(finished_at=func.clock_timestamp()))


class Bookmark(Protocol):
    """How far a look has come, kept in the same transaction as what it planned."""

    def is_past(self, connection: Connection, until: datetime) -> bool:
        """Whether another pass has done this chunk of the same look meanwhile."""

    def move(self, connection: Connection, until: datetime) -> None:
        """Note that the look has come this far."""


@dataclass(frozen=True)
class _Watermark:
    """A fresh look moves the meter's watermark; it looks again at what lies before it."""

    meter: str

    def is_past(self, connection: Connection, until: datetime) -> bool:  # noqa: ARG002
        return False

    def move(self, connection: Connection, until: datetime) -> None:
        table = tables.meter
        watermark = func.greatest(table.c.watermark, until)
        connection.execute(update(table).where(table.c.name == self.meter).values(watermark=watermark))


@dataclass(frozen=True)
class _Position:
    """A deep look or a backfill keeps its place; passes that find it unfinished share it."""

    look_id: int

    def is_past(self, connection: Connection, until: datetime) -> bool:
        table = tables.look
        return bool(connection.scalar(select(table.c.position >= until).where(table.c.id == self.look_id)))

    def move(self, connection: Connection, until: datetime) -> None:
        table = tables.look
        position = func.greatest(table.c.position, until)
        connection.execute(update(table).where(table.c.id == self.look_id).values(position=position))


class _NoBookmark:
    """A probe keeps no place, its counts are cheap to take again; a dry run leaves no trace."""

    def is_past(self, connection: Connection, until: datetime) -> bool:  # noqa: ARG002
        return False

    def move(self, connection: Connection, until: datetime) -> None:
        """Do nothing."""


def _spans(starts: list[datetime], length: timedelta) -> Iterator[tuple[datetime, datetime]]:
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
