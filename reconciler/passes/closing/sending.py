"""What was planned of a subscription, brought to Lago: sent, and on ClickHouse seen there."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat
from threading import Event
from typing import Any

from sqlalchemy import select

from reconciler.capture.source import Source
from reconciler.database.postgres import server_clock
from reconciler.delivery.deliver import Delivery
from reconciler.lago.client import Lago
from reconciler.lago.readback import Readback
from reconciler.ledger import lagos, meters, tables
from reconciler.ledger.store import Ledger
from reconciler.model.errors import LagoAwayError, ReconcileError
from reconciler.model.money import total
from reconciler.model.words import count
from reconciler.passes.closing.subject import Subject
from reconciler.report.closing import Called, Some, some, standing
from reconciler.report.progress import Silent
from reconciler.settings.load import Settings

_PAUSES = (0, 1, 2, 4, 8)
"""Seconds before each try; the last is that before all others, too."""


@dataclass(frozen=True)
class Sending:
    """Brings one subject's events to Lago, and what has to go before them: a backlog is left to the passes.

    Attributes:
        settings: what the operator said.
        source: whose clock counts.
        ledger: where the events are.
        lago: where they go.
        called: when the close was called.
        stopping: set when the time is up.
    """

    settings: Settings
    source: Source
    ledger: Ledger
    lago: Lago
    called: Called
    stopping: Event

    def send(self, subject: Subject, fresh_since: datetime) -> None:
        """Send until Lago has all, or refuses, or the time is up; what it does not have is left in the subject.

        Raises:
            ReconcileError: Lago refuses us, or holds events that the ledger does not know; it was away to the end.
        """
        away: ReconcileError | None = None
        for pause in _pauses():
            planned = [each.id for each in self._standing(subject, fresh_since) if each.state == "planned"]
            if not planned or self.stopping.wait(pause):
                break
            away = self._try(subject, planned)
        self._see(subject, fresh_since)
        if planned and away is not None:
            raise away

    def read_back(self, subject: Subject, fresh_since: datetime) -> None:
        """On ClickHouse a 200 is not yet yes: see that Lago shows what it has accepted, after its lag.

        Raises:
            ReconcileError: it does not show all of it in time, or shows something else.
        """
        with self.ledger.transaction() as connection:
            known = lagos.load(connection, self.lago.base)
        if known is not None and known.store == "postgres":
            return
        accepted = [each for each in self._standing(subject, fresh_since) if each.answered_at and not each.is_verified]
        accepted = [each for each in accepted if each.state == "accepted"]
        payloads = self._payloads(subject, accepted)
        self._wait_for_the_lag(accepted)
        for pause in _pauses():
            if not payloads or self.stopping.wait(pause):
                break
            verdicts = Readback(self.lago).verdicts(payloads)
            if other := next((each for each in verdicts if each.kind == "conflict"), None):
                raise ReconcileError(
                    f"Lago holds another event in the stead of one of {_of(subject)}: {other.held[:200]}. Run "
                    "`reconcile verify`, and decide before the plan changes."
                )
            payloads = [each for each, seen in zip(payloads, verdicts, strict=True) if seen.kind == "missing"]
        if payloads:
            raise ReconcileError(
                f"Lago has accepted all, and does not show {count(len(payloads), 'event')} of {_of(subject)} yet, such "
                f"as {payloads[0]['transaction_id']}. Run this again; if they stay away, `reconcile verify --repair` "
                "sends them once more."
            )

    def wait_for_its_clock(self, instant: datetime) -> None:
        """Wait until it is past the instant for Lago: a plan begins by its clock, and what was used before is not its.

        Raises:
            ReconcileError: it is not in time.
        """
        with suppress(LagoAwayError):  # then no plan changes, either
            while (now := self.lago.clock()) is not None and now < instant:
                if self.stopping.wait((instant - now).total_seconds()):
                    raise ReconcileError(
                        f"Lago's clock says {now:%Y-%m-%d %H:%M:%S} UTC: a plan that changes now would begin before "
                        "usage of the old one. Mend the clock that is wrong, and run this again."
                    )

    def _try(self, subject: Subject, batches: Sequence[int]) -> LagoAwayError | None:
        """Try once to deliver these batches; return why Lago can't be reached, if it can't."""
        with self.ledger.transaction() as connection:
            meter = meters.load(connection, subject.wanted.name)
        if meter is None:
            raise ReconcileError(f"The meter {subject.wanted.name!r} was deleted from the ledger meanwhile.")
        way = [id_ for (id_,) in self.ledger.once("delivery/way", {"batches": list(batches)})]
        sending = Delivery(self.settings, self.ledger, self.stopping)
        try:
            now = self.source.sight().now
            done = sending.run(subject.wanted, meter, now=now, progress=Silent(), only=way)
        finally:
            sending.close()
        subject.closed.warnings = list(dict.fromkeys(subject.closed.warnings + done.warnings))
        if done.foreign is not None:
            raise done.foreign
        if done.error is not None and not isinstance(done.error, LagoAwayError):
            raise done.error
        return done.error

    def _see(self, subject: Subject, fresh_since: datetime) -> None:
        """Take what has become of the events."""
        found, closed = self._standing(subject, fresh_since), subject.closed
        new = [each for each in found if each.is_new and not each.is_of_before]
        closed.events, closed.cost = sum(each.events for each in new), total(each.cost for each in new)
        left = [each for each in found if each.state != "accepted"]
        closed.left = [each for each in left if not each.is_of_before]
        if before := [each for each in left if each.is_of_before]:
            closed.warnings.append(
                f"{some(before)} held, as their billing period is closed: a change of the plan makes no "
                "difference to them, `reconcile held` does."
            )
        if not found:
            closed.nothing = "nothing was used that is not billed already"

    def _standing(self, subject: Subject, fresh_since: datetime) -> list[Some]:
        name = subject.closed.subscription
        assert name is not None
        with self.ledger.transaction() as connection:
            return standing(
                connection,
                subject.wanted.name,
                name,
                self.called,
                fresh_since=fresh_since,
                accepted_since=self.called.at - self.settings.lag,
            )

    def _payloads(self, subject: Subject, batches: Sequence[Some]) -> list[dict[str, Any]]:
        event = tables.event.c
        ids = [each.id for each in batches]
        theirs = event.batch.in_(ids), event.subscription == subject.closed.subscription
        with self.ledger.transaction() as connection:
            return [json.loads(payload) for payload in connection.scalars(select(event.payload).where(*theirs))]

    def _wait_for_the_lag(self, accepted: Sequence[Some]) -> None:
        answered = [each.answered_at for each in accepted if each.answered_at is not None]
        if answered:
            with self.ledger.transaction() as connection:
                now = server_clock(connection)
            self.stopping.wait(max(0.0, (max(answered) + self.settings.lag - now).total_seconds()))


def _pauses() -> Iterator[int]:
    return chain(_PAUSES, repeat(_PAUSES[-1]))


def _of(subject: Subject) -> str:
    return f"meter {subject.wanted.name!r}"
