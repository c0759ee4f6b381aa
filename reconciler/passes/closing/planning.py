"""What a subscription's customers used up to an instant, planned: settled windows by looks, the open one in part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.capture.bookmarks import NoBookmark
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.lookout import Lookout
from reconciler.capture.looks import Looks
from reconciler.ledger.meters import Meter
from reconciler.model.terms import Stretch
from reconciler.report.figures import Tally
from reconciler.report.usage import Usage


@dataclass(frozen=True)
class Planning:
    """Plans one meter's part.

    At the instant nobody could know yet what of it was to come, so all is planned as if it were that instant and the
    settle time: windows that had ended at the instant are settled, the one that holds it is open.

    Attributes:
        lookout: looks at its usage until the time is up; one with a dry ledger plans nothing.
        meter: its state.
        instant: a quarter of a second.
        turn: how many seconds to wait for each of the meter's turns.
    """

    lookout: Lookout
    meter: Meter
    instant: datetime
    turn: float

    @property
    def settled(self) -> datetime:
        """The start of the window that holds the instant; the end of those before it."""
        return self.meter.timeline.floor(self.instant)

    @property
    def fresh_since(self) -> datetime:
        """From where on every pass looks."""
        return self._looks().fresh_since

    def plan(self, subscription: str, begin: Callable[[Connection], None]) -> None:
        """Plan all of it: of the settled windows everybody's usage, of the open one what goes to the subscription.

        Args:
            subscription: whose plan is to change.
            begin: notes, with what is planned of the open window, that it is closed.

        Raises:
            NoTurnError: others have the meter's turn.
            StoppedError: the time is up.
        """
        looks = self._looks()
        looks.fresh()
        looks.late()
        planner = self.lookout.planner(self._comparison(subscription))

        def close(connection: Connection, part: Stretch) -> Tally:
            begin(connection)
            return planner.close(connection, part)

        if parts := list(self._open_part()):
            for part in parts:
                for _ in self._chunks().plan(close, part, NoBookmark()):
                    pass
        else:
            with self.lookout.ledger.transaction() as connection:
                begin(connection)

    def foreseen(self, subscription: str) -> Usage:
        """What would be planned of the subscription as of now; nothing is changed."""
        comparison, found = self._comparison(subscription), Usage()
        for stretch in [*self.meter.timeline.stretches(self.fresh_since, self.settled), *self._open_part()]:
            for _, rows in self._chunks().compared(comparison, "capture/foreseen", stretch, dict_row):
                for row in rows:
                    del row["subscription"], row["model"]
                    found = found.and_(Usage(**row))
        return found

    def _open_part(self) -> Iterator[Stretch]:
        """The open window up to the instant; none if the instant is a window's edge, or before the meter's start."""
        if self.meter.start <= self.settled < self.instant:
            yield Stretch(self.meter.timeline.at(self.settled), self.settled, self.instant)

    def _comparison(self, only: str | None = None) -> Comparison:
        return self.lookout.comparison(self.settled, only=only)

    def _chunks(self) -> Chunks:
        return self.lookout.chunks(self.turn)

    def _looks(self) -> Looks:
        now = self.instant + self.lookout.settings.settle
        return self.lookout.looks(self.meter, self._comparison(), self._chunks(), now=now, settled=self.settled)
