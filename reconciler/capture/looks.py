"""What a pass looks at: always whole settled windows in scope, chunk by chunk.

- fresh: from the watermark less the look-back to the newest settled window;
- probe: row counts over the horizon, about hourly; windows that differ get exact totals;
- deep: exact totals over the horizon, about daily;
- backfill: exact totals of the windows that a `--since` asked for, from the source's oldest row on.

Each but the probe records with every chunk how far it came, so that a killed look goes on where it was.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from reconciler.capture.agenda import Agenda, Kept, Look, Todo
from reconciler.capture.bookmarks import Bookmark, NoBookmark, Position, Watermark
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.planner import Planner
from reconciler.capture.scope import in_scope, spans
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch
from reconciler.report.figures import Tally
from reconciler.report.progress import Kind

Progress = Callable[[Kind, datetime, datetime, datetime], None]
"""Told after each chunk: the kind of look, its since and until, and the position reached."""


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
        comparison: Comparison,
        planner: Planner,
        chunks: Chunks,
        agenda: Agenda,
        ledger: Ledger,
        *,
        now: datetime,
        settled: datetime,
        lookback: timedelta,
        horizon: timedelta,
        oldest: Callable[[datetime], datetime | None],
        progress: Progress,
    ) -> None:
        """Take what the pass found out.

        Args:
            meter: as it was at the pass's start.
            comparison: counts rows.
            planner: plans a chunk.
            chunks: cuts looks into chunks.
            agenda: where looks are kept.
            ledger: what was looked at before.
            now: the source's clock.
            settled: the end of the newest settled window.
            lookback: how far before the watermark a fresh look begins.
            horizon: how far back probes and deep looks go.
            oldest: asks the source for the start of its oldest row from a moment on, None if it has none.
            progress: told after each chunk.
        """
        self._meter = meter
        self._comparison = comparison
        self._planner = planner
        self._chunks = chunks
        self._agenda = agenda
        self._ledger = ledger
        self._oldest = oldest
        self._progress = progress
        self.seen = Seen()
        self.settled = settled
        self.fresh_since = max(meter.start, meter.timeline.floor(meter.watermark - lookback))
        """Where the fresh look begins."""
        self._horizon = meter.timeline.floor(now - horizon)

    def fresh(self) -> None:
        """Look at what is new, and move the watermark with each chunk.

        Raises:
            NoTurnError: another pass is at it.
        """
        self._walk("fresh", self.fresh_since, self.settled, Watermark(self._meter.name))

    def due(self) -> None:
        """Do what is due: unfinished backfills, then a deep look or a probe."""
        todo = self._backfill_on()
        if "deep" in todo.due:
            self._resume(self._begin("deep", todo))
        elif "probe" in todo.due:
            self._probe(self._begin("probe", todo))

    def late(self) -> None:
        """Look for what a fresh look does not find: unfinished backfills, and a probe though none is due."""
        self._probe(self._begin("probe", self._backfill_on()))

    def _backfill_on(self) -> Todo:
        """Do the backfills that were cut off; return what there is to do then."""
        todo = self._agenda.todo()
        backfills = [look for look in todo.unfinished if look.kind == "backfill"]
        for look in backfills:
            self._resume(look)
        return self._agenda.todo() if backfills else todo

    def backfill(self, since: datetime, until: datetime) -> None:
        """Look at `[since, until)`, whole windows; an earlier backfill from there that was cut off goes on."""
        if since >= until:
            return
        if self._ledger.is_dry:
            self._walk("backfill", self.from_oldest(since), until, NoBookmark())
        else:
            self._resume(self._agenda.backfill(since, until))

    def _resume(self, look: Look) -> None:
        """Do what is left of a deep look or a backfill; passes that do the same one share it."""
        position = max(look.since, look.position).astimezone(UTC)
        until = min(look.until.astimezone(UTC), self.settled)  # it may have begun by a clock that ran ahead
        if look.kind == "backfill":
            since = self.from_oldest(position)
            self._walk("backfill", since, min(until, self.fresh_since), Position(look.id))
            self._walk("backfill", max(since, self.fresh_since), until, Position(look.id), again=True)
        else:
            for since, end in in_scope(self._ledger, self._meter, position, until):
                self._walk(look.kind, since, end, Position(look.id))
        self._agenda.finish(look)

    def from_oldest(self, since: datetime) -> datetime:
        """The window of the source's oldest row from the moment on; the end of all if there is none."""
        oldest = self._oldest(since)
        return max(since, self.settled if oldest is None else self._meter.timeline.floor(oldest))

    def _probe(self, look: Look) -> None:
        since, until = look.since.astimezone(UTC), min(look.until.astimezone(UTC), self.settled)

        def probe(chunk: Stretch) -> None:
            with self._ledger.transaction(planning=True) as connection:
                differing = self._comparison.differing(connection, chunk, self._meter.start)
            for start, end in spans(differing, chunk.terms.window):
                self._walk("probe", start, end, NoBookmark())

        for stretch in self._meter.timeline.stretches(since, until):
            for chunk, _ in self._chunks.each(stretch, probe):
                self._progress("probe", since, until, chunk.until)
        self._agenda.finish(look)

    def _walk(self, kind: Kind, since: datetime, until: datetime, bookmark: Bookmark, *, again: bool = False) -> None:
        """Plan `[since, until)`, by the terms that hold there; `again` if the fresh look has counted these windows."""
        for stretch in self._meter.timeline.stretches(since, until):
            for chunk, tally in self._chunks.plan(self._planner.plan, stretch, bookmark):
                if tally is not None:
                    self.seen.add(chunk, tally.planned() if again else tally)
                    self._progress(kind, stretch.since, stretch.until, chunk.until)

    def _begin(self, kind: Kept, todo: Todo) -> Look:
        """The look of that kind that was cut off, or a new one over the horizon."""
        for look in todo.unfinished:
            if look.kind == kind:
                return look
        return self._agenda.begin(kind, self._horizon, max(self._horizon, self.fresh_since))
