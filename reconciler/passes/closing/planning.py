"""What a subscription's customers used up to an instant, planned: settled windows by looks, the open one in part."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from threading import Event
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from reconciler.capture.agenda import Agenda
from reconciler.capture.bookmarks import NoBookmark
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.looks import Looks
from reconciler.capture.planner import Planner
from reconciler.capture.source import Sight, Source
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch
from reconciler.report.decisions import person
from reconciler.report.figures import Tally
from reconciler.report.progress import Kind
from reconciler.report.usage import Usage
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings


@dataclass(frozen=True)
class Planning:
    """Plans one meter's part.

    At the instant nobody could know yet what of it was to come, so all is planned as if it were that instant and the
    settle time: windows that had ended at the instant are settled, the one that holds it is open.

    Attributes:
        settings: what the operator said.
        wanted: the meter, as the settings describe it.
        meter: its state.
        source: the spend table.
        sight: what it looks like.
        ledger: a dry one plans nothing.
        instant: a quarter of a second.
        turn: how many seconds to wait for each of the meter's turns.
        stopping: set when the time is up.
    """

    settings: Settings
    wanted: MeterSettings
    meter: Meter
    source: Source
    sight: Sight
    ledger: Ledger
    instant: datetime
    turn: float
    stopping: Event

    @property
    def settled(self) -> datetime:
        """The start of the window that holds the instant; the end of those before it."""
        return self.meter.timeline.floor(self.instant)

    @property
    def fresh_since(self) -> datetime:
        """From where on every pass looks."""
        return self._looks(self._comparison()).fresh_since

    def plan(self, subscription: str, customer: str) -> None:
        """Plan all of it: of the settled windows everybody's usage, of the open one what goes to the subscription.

        Raises:
            NoTurnError: others have the meter's turn.
            StoppedError: the time is up.
        """
        looks = self._looks(self._comparison())
        looks.fresh()
        looks.late()
        planner = Planner(self.wanted, self._comparison(subscription), self.ledger, batch=self.settings.limits.batch)

        def close(connection: Connection, part: Stretch) -> Tally:
            self._note(connection, subscription, customer)
            return planner.close(connection, part)

        if parts := list(self._open_part()):
            for part in parts:
                for _ in self._chunks().plan(close, part, NoBookmark()):
                    pass
        else:
            with self.ledger.transaction() as connection:
                self._note(connection, subscription, customer)

    def foreseen(self, subscription: str) -> Usage:
        """What would be planned of the subscription as of now; nothing is changed."""
        comparison, found = self._comparison(subscription), Usage()
        since = self._looks(comparison).fresh_since
        for stretch in [*self.meter.timeline.stretches(since, self.settled), *self._open_part()]:
            for _, rows in self._chunks().compared(comparison, "capture/foreseen", stretch, dict_row):
                for row in rows:
                    del row["subscription"], row["model"]
                    found = found.and_(Usage(**row))
        return found

    def _open_part(self) -> Iterator[Stretch]:
        """The open window up to the instant; none if the instant is a window's edge, or before the meter's start."""
        if self.meter.start <= self.settled < self.instant:
            yield Stretch(self.meter.timeline.at(self.settled), self.settled, self.instant)

    def _note(self, connection: Connection, subscription: str, customer: str) -> None:
        """Note that it was closed: what comes later is of the plan that follows."""
        values: dict[str, Any] = {
            "meter": self.meter.name,
            "id": sha256(subscription.encode()).digest(),
            "instant": self.instant,
            "subscription": subscription,
            "customer": customer,
            "closed_by": person(),
        }
        connection.execute(insert(tables.closing).values(values).on_conflict_do_nothing())

    def _comparison(self, only: str | None = None) -> Comparison:
        return Comparison(
            self.wanted,
            self.source,
            self.sight,
            self.ledger,
            one_database=self.settings.one_database,
            settled=self.settled,
            only=only,
        )

    def _chunks(self) -> Chunks:
        seconds = self.settings.limits.chunk
        return Chunks(self.meter.name, self.ledger, turn=self.turn, seconds=seconds, stopping=self.stopping)

    def _looks(self, comparison: Comparison) -> Looks:
        settings, limits = self.settings, self.settings.limits

        def looked(kind: Kind, since: datetime, until: datetime, position: datetime) -> None:
            """Tell nobody."""

        return Looks(
            self.meter,
            comparison,
            Planner(self.wanted, comparison, self.ledger, batch=limits.batch),
            self._chunks(),
            Agenda(self.meter.name, self.ledger, pauses={"probe": limits.probe, "deep": limits.deep}),
            self.ledger,
            now=self.instant + settings.settle,
            settled=self.settled,
            lookback=settings.lookback,
            horizon=settings.horizon,
            oldest=self.source.oldest_row,
            progress=looked,
        )
