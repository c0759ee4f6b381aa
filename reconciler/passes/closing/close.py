"""Close a customer's usage: note the instant, wait until all of it is written, bill it, wait until Lago has it.

Harmless at any moment: until the plan is committed nothing has happened, and what is planned a pass sends as well.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from reconciler.capture.lookout import Lookout
from reconciler.capture.source import Sight, open_source
from reconciler.lago.client import Lago
from reconciler.ledger.store import open_ledger
from reconciler.model import windows
from reconciler.model.durations import format_duration
from reconciler.model.errors import NoTurnError, ReconcileError, StoppedError, UsageError
from reconciler.model.words import length
from reconciler.passes.closing.planning import Planning
from reconciler.passes.closing.record import Record
from reconciler.passes.closing.sending import Sending
from reconciler.passes.closing.subject import Subject, Subjects
from reconciler.report.closing import Called, Closed, Closing, frozen_of, to_the_millisecond
from reconciler.report.status import require_ledger
from reconciler.settings.load import Settings

PATIENCE = timedelta(minutes=10)
"""How long to wait for Lago, beyond what has to go by in any case."""

_LOOK_AT_THE_CLOCK = 5.0
"""Seconds."""


@dataclass(frozen=True)
class _Clock:
    """How long all may take, when that is over, and what is set then."""

    limit: timedelta
    ends: float
    stopping: threading.Event

    @property
    def left(self) -> float:
        """Seconds, at least one."""
        return max(1.0, self.ends - time.monotonic())


class Close:
    """Closes with one set of settings."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
        """Connect to nothing yet; `say` is told what is waited for."""
        self._settings = settings
        self._say = say
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        self._lago = Lago.of(settings)

    def run(self, customer: str, *, limit: timedelta | None = None, dry_run: bool = False) -> Closing:
        """Bill all that the customer used up to now, and wait until Lago has it.

        Args:
            customer: as the charge-by column has it.
            limit: how long this may take; None is the settle time, Lago's lag and ten minutes.
            dry_run: say what there is to bill now, and write nothing.

        Returns:
            A result for each meter of the settings.

        Raises:
            UsageError: nothing is known of the customer, or the limit is shorter than the settle time.
            ReconcileError: nothing could be done for any meter: source or ledger can't be reached or used.
        """
        if not customer.strip():
            raise UsageError("Usage without a customer has no plan: name the customer as the spend table has it.")
        settings = self._settings
        limit = settings.settle + settings.lag + PATIENCE if limit is None else limit
        if limit < settings.settle and not dry_run:
            settle = format_duration(settings.settle)
            raise UsageError(
                f"--timeout {format_duration(limit)} is shorter than RECONCILE_SETTLE ({settle}), which has to go by "
                "first. Nothing was done."
            )
        if dry_run:
            settings.require_two_connections()
        clock = _Clock(limit, time.monotonic() + limit.total_seconds(), threading.Event())
        timer = threading.Timer(limit.total_seconds(), clock.stopping.set)
        timer.daemon = True
        timer.start()
        try:
            with self._ledger.dry() if dry_run else nullcontext():
                return self._run(customer, clock, dry_run=dry_run)
        finally:
            timer.cancel()
            self._lago.close()
            self._source.close()
            self._ledger.close()

    def _run(self, customer: str, clock: _Clock, *, dry_run: bool) -> Closing:
        with self._ledger.transaction() as connection:
            require_ledger(connection)
            called = Called.now(connection)
        sight = self._source.sight()
        instant = windows.quarter(sight.clock)
        subjects = Subjects(self._source, sight, self._ledger, self._lago, horizon=self._settings.horizon)
        found = subjects.of(self._settings.meters, customer, is_dry=dry_run)
        closing = Closing(customer, instant, [subject.closed for subject in found])
        going = [subject for subject in found if subject.goes_on]
        if dry_run:
            for subject, name in _those(going):
                with _kept(subject, clock):
                    usage = self._planning(subjects, subject, instant, clock).foreseen(name)
                    subject.closed.events, subject.closed.cost = usage.events, usage.cost
        elif going:
            subjects.sight = self._wait(instant, clock)
            sending = Sending(self._settings, self._source, self._ledger, self._lago, called, clock.stopping)
            record, fresh_since = Record(self._ledger, customer, instant), {}
            for subject, name in _those(going):
                with _kept(subject, clock):
                    planning = self._planning(subjects, subject, instant, clock)
                    fresh_since[subject.wanted.name] = planning.fresh_since
                    planning.plan(name, partial(record.begin, closed=subject.closed))
            for bring in (sending.send, sending.read_back):
                for subject, _ in _those(going):
                    with _kept(subject, clock):
                        bring(subject, fresh_since[subject.wanted.name])
            for subject, _ in _those(going):
                with _kept(subject, clock):
                    sending.wait_for_its_clock(instant)
            for subject in going:
                record.end(subject.closed)
        self._tell_frozen(closing.meters)
        return closing

    def _tell_frozen(self, told: Sequence[Closed]) -> None:
        """Say what is billed of a subscription beyond what the table holds: the old plan's invoice will have it."""
        with self._ledger.transaction() as connection:
            for closed in told:
                if closed.subscription is not None and closed.error is None:
                    closed.warnings.extend(frozen_of(connection, closed.meter, closed.subscription))

    def _planning(self, subjects: Subjects, subject: Subject, instant: datetime, clock: _Clock) -> Planning:
        wanted, settings = subject.wanted, self._settings
        lookout = Lookout(settings, wanted, self._source, subjects.sight, self._ledger, clock.stopping)
        turn = min(settings.limits.backfill_turn, clock.left)
        return Planning(lookout, subjects.meter(wanted), instant, turn)

    def _wait(self, instant: datetime, clock: _Clock) -> Sight:
        """Wait until what began before the instant is written, as far as the settle time goes; return the source then.

        Raises:
            ReconcileError: the time is up.
        """
        until = instant + self._settings.settle
        sight = self._source.sight()
        if until - sight.now >= timedelta(seconds=1):
            self._say(
                f"Up to {to_the_millisecond(instant)} UTC. Waiting {length(until - sight.now)} (RECONCILE_SETTLE)."
            )
        while (left := (until - sight.now).total_seconds()) > 0:
            if clock.stopping.wait(min(left + 0.01, _LOOK_AT_THE_CLOCK)):
                raise ReconcileError(
                    f"In {format_duration(clock.limit)} the source's clock has not come to {to_the_millisecond(until)} "
                    "UTC, so nothing was closed. A replica's stands still while it replays nothing. Run this again."
                )
            sight = self._source.sight()
        return sight


def _those(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, str]]:
    """Those that nothing has gone wrong with yet, and their subscriptions."""
    for subject in subjects:
        if subject.goes_on and subject.closed.subscription is not None:
            yield subject, subject.closed.subscription


@contextmanager
def _kept(subject: Subject, clock: _Clock) -> Iterator[None]:
    """Keep what goes wrong with one meter in its result: the others go on."""
    try:
        yield
    except StoppedError:
        subject.closed.error = ReconcileError(
            f"Not all could be looked at in {format_duration(clock.limit)}. Nothing is lost: passes bill it. Run this "
            "again, with a longer --timeout."
        )
    except NoTurnError as error:
        subject.closed.error = ReconcileError(f"Nothing was closed: {error}. Run this again.")
    except ReconcileError as error:
        subject.closed.error = error
