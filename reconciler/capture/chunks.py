"""A stretch of windows, chunk by chunk: each a transaction of its own that waits for the meter's turn.

So the others' fresh looks come between, a kill loses little, and no statement runs into its time limit.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event
from typing import Any, TypeVar

from psycopg.rows import RowFactory
from sqlalchemy import Connection

from reconciler.capture.bookmarks import Bookmark
from reconciler.capture.comparison import Comparison
from reconciler.database.postgres import timed_out
from reconciler.ledger import meters
from reconciler.ledger.store import Ledger
from reconciler.model.errors import MeterChangedError, ReconcileError, StoppedError
from reconciler.model.terms import Stretch
from reconciler.report.figures import Tally

Done = TypeVar("Done")


class Chunks:
    """The chunks of one pass over one meter. What returns an iterator does its work as that is iterated."""

    def __init__(self, meter: str, ledger: Ledger, *, turn: float, seconds: float, stopping: Event) -> None:
        """Begin with chunks of a size that a usual fresh look has.

        Args:
            meter: whose turn a chunk waits for.
            ledger: where chunks are compared and planned.
            turn: how many seconds to wait for the meter's turn.
            seconds: how long one chunk should take.
            stopping: set when the pass should end after its present chunk.
        """
        self._meter = meter
        self._ledger = ledger
        self._turn = turn
        self._stopping = stopping
        self._size = ChunkSize(seconds)
        self._working_since = 0.0  # when the chunk in hand got its turn

    def plan(
        self, plan: Callable[[Connection, Stretch], Tally], stretch: Stretch, bookmark: Bookmark
    ) -> Iterator[tuple[Stretch, Tally | None]]:
        """Plan a stretch, each chunk committed with how far it came.

        Args:
            plan: plans a chunk in a transaction that has the meter's turn.
            stretch: whole settled windows in scope.
            bookmark: keeps the place.

        Returns:
            Each chunk and its figures; None where another pass had done the chunk.

        Raises:
            MeterChangedError: another pass has changed the meter's terms.
            NoTurnError: another pass has the meter's turn.
            StoppedError: the pass was told to stop.
        """

        def plan_one(chunk: Stretch) -> Tally | None:
            tally = None
            with self._our_turn() as connection:
                self._see_terms(connection, chunk)
                if not bookmark.is_past(connection, chunk.until):
                    tally = plan(connection, chunk)
                    bookmark.move(connection, chunk.until)
            return tally

        return self.each(stretch, plan_one)

    def compared(
        self,
        comparison: Comparison,
        name: str,
        stretch: Stretch,
        row: RowFactory[Any],
        further: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[Stretch, list[Any]]]:
        """Compare a stretch while nobody else plans; nothing is changed.

        Args:
            comparison: finds what differs.
            name: the statement of sql/ that says what of it is wanted.
            stretch: whole settled windows.
            row: makes its rows.
            further: values that only this statement has.

        Returns:
            Each chunk and its rows.

        Raises:
            NoTurnError: another pass has the meter's turn.
        """

        def compare(chunk: Stretch) -> list[Any]:
            with self._our_turn() as connection:
                return comparison.rows(connection, name, chunk, row, further)

        return self.each(stretch, compare)

    @contextmanager
    def _our_turn(self) -> Iterator[Connection]:
        """A transaction of the ledger that has the meter's turn."""
        with self._ledger.transaction(planning=True) as connection:
            meters.take_turn(connection, self._meter, seconds=self._turn)
            self._working_since = time.monotonic()
            yield connection

    def _see_terms(self, connection: Connection, chunk: Stretch) -> None:
        """See that the chunk's terms still hold: another pass may have given the meter other settings meanwhile."""
        if self._ledger.is_dry:
            return  # what it has agreed on is nowhere in the ledger
        meter = meters.load(connection, self._meter)
        if meter is None or meter.timeline.at(chunk.since) != chunk.terms:
            raise MeterChangedError(
                f"Another pass has given meter {self._meter!r} other settings while this one was running, which has "
                "stopped. Run again."
            )

    def each(self, stretch: Stretch, work: Callable[[Stretch], Done]) -> Iterator[tuple[Stretch, Done]]:
        """Do the work on chunks whose size follows from how long each took; one that takes too long is cut.

        Returns:
            Each chunk and what came of it.

        Raises:
            StoppedError: the pass was told to stop.
        """
        position = stretch.since
        while position < stretch.until:
            if self._stopping.is_set():
                raise StoppedError("the pass was told to stop; the next one goes on")
            chunk = Stretch(stretch.terms, position, self._size.until(stretch, position))
            self._working_since = time.monotonic()
            try:
                done = work(chunk)
            except ReconcileError as error:
                if timed_out(error) and self._size.cut(chunk):
                    continue
                raise
            self._size.took(time.monotonic() - self._working_since)
            yield chunk, done
            position = chunk.until


class ChunkSize:
    """How much to look at in one transaction: as much as takes about so many seconds."""

    def __init__(self, seconds: float) -> None:
        """Begin with what a usual fresh look takes: its look-back and what is new."""
        self._seconds = seconds
        self._span = timedelta(hours=2)

    def until(self, stretch: Stretch, position: datetime) -> datetime:
        """Where the chunk that begins at the position ends: at least one whole window further."""
        count = max(1, self._span // stretch.terms.window)
        return min(stretch.until, position + count * stretch.terms.window)

    def took(self, seconds: float) -> None:
        """Learn from a chunk: as much more or less as the time it took suggests, within bounds."""
        factor = min(max(self._seconds / max(seconds, 0.001), 0.5), 4.0)
        self._span = min(self._span * factor, timedelta(days=366))

    def cut(self, chunk: Stretch) -> bool:
        """Take less after a chunk that ran out of time; say whether there is less to take."""
        self._span = (chunk.until - chunk.since) / 4
        return chunk.until - chunk.since > chunk.terms.window
