"""What one meter has billed of a customer to the wrong subscription, found and moved in parts.

Each part is a transaction. What a move is cut off with, it leaves to another run, which finds only that.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from sqlalchemy import func, select

from reconciler.capture.chunks import Chunks
from reconciler.capture.misplaced import Misplaced, Moment, changed
from reconciler.database.postgres import timed_out
from reconciler.ledger import meters, tables
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError
from reconciler.model.terms import Stretch, Timeline
from reconciler.report.decisions import person
from reconciler.report.move import Line, Made, joined, said
from reconciler.settings.limits import Limits


@dataclass(frozen=True)
class Part:
    """What a person was shown of a stretch of windows."""

    stretch: Stretch
    lines: list[Line]

    @property
    def moves(self) -> bool:
        """Whether there is something to move."""
        return any(line.fate != "stay" for line in self.lines)


@dataclass
class Parts:
    """Finds and moves them.

    Attributes:
        meter: its name.
        misplaced: reads and plans.
        ledger: where the events are.
        limits: how long a part should take, and how long it waits for the meter's turn.
        found: what there is, also what stays.
        made: what was moved so far.
    """

    meter: str
    misplaced: Misplaced
    ledger: Ledger
    limits: Limits
    found: list[Part] = field(default_factory=list)
    made: Made = field(default_factory=Made)

    @property
    def lines(self) -> list[Line]:
        """All of it, by day, model and subscription."""
        return joined(line for part in self.found for line in part.lines)

    @property
    def moving(self) -> list[Part]:
        """Those with something to move."""
        return [part for part in self.found if part.moves]

    @property
    def codes(self) -> list[str]:
        """The event codes of what moves."""
        return sorted({part.stretch.terms.code for part in self.moving})

    def look(self, timeline: Timeline, since: datetime, until: datetime | None) -> None:
        """Find what there is in the windows of `[since, until)`; None is all that there is."""
        window_start = tables.event.c.window_start
        billed = select(func.min(window_start), func.max(window_start))
        billed = billed.where(tables.event.c.meter == self.meter, window_start >= since)
        with self.ledger.transaction() as connection:
            first, last = connection.execute(billed if until is None else billed.where(window_start < until)).one()
        if first is None:
            return
        turn, seconds = self.limits.backfill_turn, self.limits.chunk
        chunks = Chunks(self.meter, self.ledger, turn=turn, seconds=seconds, stopping=Event())
        for stretch in timeline.stretches(first.astimezone(UTC), timeline.window_end(last.astimezone(UTC))):
            self.found += [part for _, part in chunks.each(stretch, self._read) if part.lines]

    def moments(self) -> list[Moment]:
        """When the events of the move count."""
        found: list[Moment] = []
        for part in self.moving:
            with self.ledger.transaction(planning=True) as connection:
                found += self.misplaced.moments(connection, part.stretch)
        return found

    def make(self, reason: str) -> None:
        """Plan what was found, just as it was shown, the oldest windows first.

        Raises:
            ReconcileError: it is no longer as it was shown, or others have the turn; says what was moved before.
        """
        left = deque(self.moving)
        try:
            while left:
                part = left.popleft()
                try:
                    self._make(part, reason)
                except ReconcileError as error:
                    if not timed_out(error) or part.stretch.until - part.stretch.since <= part.stretch.terms.window:
                        raise
                    left.extendleft(reversed(self._halves(part)))
        except ReconcileError as error:
            done = f"The rest was not moved ({said(self.made)})" if self.made.events else "Nothing was done"
            raise ReconcileError(f"{done}: {str(error).rstrip('.')}. Run it again.") from error

    def _make(self, part: Part, reason: str) -> None:
        with self.ledger.transaction(planning=True) as connection:
            meters.take_turn(connection, self.meter, seconds=self.limits.backfill_turn)
            made = self.misplaced.move(
                connection, part.stretch, part.lines, by=person(), reason=reason, batch=self.limits.batch
            )
        self.made = self.made.plus(made)

    def _read(self, stretch: Stretch) -> Part:
        with self.ledger.transaction(planning=True) as connection:
            return Part(stretch, self.misplaced.lines(connection, stretch))

    def _halves(self, part: Part) -> list[Part]:
        """What took too long at once, in two parts.

        Raises:
            ReconcileError: it is no longer as it was shown.
        """
        since, until, window = part.stretch.since, part.stretch.until, part.stretch.terms.window
        middle = since + (until - since) // window // 2 * window
        spans = (since, middle), (middle, until)
        halves = [self._read(Stretch(part.stretch.terms, begin, end)) for begin, end in spans]
        if joined(line for half in halves for line in half.lines) != joined(part.lines):
            raise changed()
        return [half for half in halves if half.moves]
