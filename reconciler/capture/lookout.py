"""What looks at one meter's usage, made of what a pass, or a close, knows: comparison, chunks and looks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from threading import Event

from reconciler.capture.agenda import Agenda
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.foreseen_usage import ForeseenUsage
from reconciler.capture.looks import Looks, Progress
from reconciler.capture.planner import Planner
from reconciler.capture.source import Sight, Source
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.report.progress import Kind
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings


def _to_nobody(kind: Kind, since: datetime, until: datetime, position: datetime) -> None:
    """Tell nobody how far a look has come."""


@dataclass(frozen=True)
class Lookout:
    """Looks at one meter's usage.

    Attributes:
        settings: what the operator said.
        wanted: the meter, as the settings describe it.
        source: the spend table.
        sight: what it looks like.
        ledger: where usage is compared and planned; a dry one plans nothing.
        stopping: set when looks should end after their present chunk; by default nobody sets it.
    """

    settings: Settings
    wanted: MeterSettings
    source: Source
    sight: Sight
    ledger: Ledger
    stopping: Event = field(default_factory=Event)

    @cached_property
    def oldest(self) -> Callable[[datetime], datetime | None]:
        """Asks the source for the start of its oldest row from a moment on, once for each moment; None if none."""
        return cache(self.source.oldest_row)

    def settled(self, meter: Meter) -> datetime:
        """The end of the newest window that is settled."""
        return meter.timeline.floor(self.sight.now - self.settings.settle)

    def comparison(self, settled: datetime, *, only: str | None = None) -> Comparison:
        """What compares; `settled` is the end of the newest settled window, `only` the one subscription compared."""
        one_database = self.settings.one_database
        return Comparison(
            self.wanted, self.source, self.sight, self.ledger, one_database=one_database, settled=settled, only=only
        )

    def chunks(self, turn: float) -> Chunks:
        """What cuts looks into chunks that wait so many seconds for the meter's turn."""
        seconds = self.settings.limits.chunk
        return Chunks(self.wanted.name, self.ledger, turn=turn, seconds=seconds, stopping=self.stopping)

    def planner(self, comparison: Comparison, foreseen: ForeseenUsage | None = None) -> Planner:
        """What plans; in a dry run `foreseen` takes in what it would plan."""
        return Planner(self.wanted, comparison, self.ledger, batch=self.settings.limits.batch, foreseen=foreseen)

    def looks(
        self,
        meter: Meter,
        comparison: Comparison,
        chunks: Chunks,
        *,
        now: datetime,
        settled: datetime,
        foreseen: ForeseenUsage | None = None,
        progress: Progress = _to_nobody,
    ) -> Looks:
        """The looks at a meter as it is, at a moment of the source's clock."""
        settings, limits = self.settings, self.settings.limits
        return Looks(
            meter,
            comparison,
            self.planner(comparison, foreseen),
            chunks,
            Agenda(meter.name, self.ledger, pauses={"probe": limits.probe, "deep": limits.deep}),
            self.ledger,
            now=now,
            settled=settled,
            lookback=settings.lookback,
            horizon=settings.horizon,
            oldest=self.oldest,
            progress=progress,
        )
