"""How the passes over a meter have gone: whether they happen, get their turn, work, finish and keep up."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.database.postgres import execute
from reconciler.model.words import count, minute
from reconciler.settings.load import Settings

LONGEST_WAIT = timedelta(hours=2)
"""Passes that are further apart, or a watermark that is further behind, need a person's look."""


@dataclass(frozen=True)
class Patience:
    """From when on passes are not as they should be.

    Attributes:
        apart: how far passes may be apart.
        long: how long one may take.
        settle: how long after its end a window is first looked at.
    """

    apart: timedelta
    long: timedelta
    settle: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """By the settings: who runs passes seldom says so with RECONCILE_INTERVAL."""
        interval = settings.interval
        return cls(max(LONGEST_WAIT, 3 * interval), max(3 * interval, settings.deadline + interval), settings.settle)


@dataclass(frozen=True)
class Passes:
    """How the passes over one meter have gone since the last one that did its work.

    Attributes:
        now: the ledger's clock.
        watermark: how far they have come.
        lag: how far that is behind the newest window that has ended.
        age: how long ago the meter was made: a new one may have a long way to go.
        begun_at: when the last one began; when the meter was made if there was none.
        failed_since: since when each has failed; None if the last one has not.
        failures: how many have.
        failure: the last one's words.
        skipped_since: since when each has found another one running; None if the last one has not.
        skips: how many have.
        unfinished_since: since when they begin and do not finish; None if the last one did.
    """

    now: datetime
    watermark: datetime
    lag: timedelta
    age: timedelta
    begun_at: datetime
    failed_since: datetime | None
    failures: int
    failure: str | None
    skipped_since: datetime | None
    skips: int
    unfinished_since: datetime | None

    @property
    def after_a_good_one(self) -> Self:
        """The same as seen by a pass that has just done its work: it makes up for all but what is still behind."""
        return replace(self, begun_at=self.now, failed_since=None, skipped_since=None, unfinished_since=None)

    def stalled(self, patience: Patience) -> datetime | None:
        """Since when passes begin and do not finish, if that is longer than one may take."""
        since = self.unfinished_since
        return since if since is not None and self.now - since > patience.long else None

    def troubles(self, patience: Patience, *, failing: timedelta = timedelta(0)) -> Iterator[str]:
        """Why passes do not do their work, a sentence each; none if they do.

        Args:
            patience: from when on.
            failing: for how long they may fail, or find another one running.
        """
        if self.now - self.begun_at > patience.apart:
            yield (
                f"No pass has begun since {minute(self.begun_at)}: see whether cron or `reconcile serve` runs "
                "(RECONCILE_INTERVAL says how far passes may be apart)."
            )
        if since := self.stalled(patience):
            yield f"Passes begin and do not finish since {minute(since)}: see what ends them, or what they wait for."
        if self.failed_since is not None and self.now - self.failed_since > failing:
            yield f"{count(self.failures, 'pass', 'passes')} failed since {minute(self.failed_since)}: {self.failure}"
        if self.skipped_since is not None and self.now - self.skipped_since > max(failing, patience.long):
            yield (
                f"Each pass since {minute(self.skipped_since)} ({self.skips:,}) has found another one running: see "
                "whether that one hangs, and end it."
            )
        if min(self.lag, self.age) > patience.settle + patience.apart:
            yield (
                f"What was used from {minute(self.watermark)} on is not billed yet, "
                f"{self.lag / timedelta(hours=1):.0f} hours behind: run passes more often, or see why they end early."
            )


def passes(connection: Connection, meter: str) -> Passes:
    """Read how the passes over a meter have gone."""
    row: Passes | None = execute(connection, "ledger/passes", {"meter": meter}, class_row(Passes)).fetchone()
    assert row is not None, "a meter has been made before it is asked about"
    return row
