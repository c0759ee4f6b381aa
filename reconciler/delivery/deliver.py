"""The station between ledger and Lago: a meter's planned batches go through the gate, and senders send them."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic

from reconciler.database.postgres import execute
from reconciler.delivery.foreign import MetAnotherError, UnknownEventsError, not_ours
from reconciler.delivery.gate import Gate, Lagos, hold_to
from reconciler.delivery.mirror import Mirror
from reconciler.delivery.not_cut_over import NotCutOverError, see_not_cut_over
from reconciler.delivery.periods import Periods
from reconciler.delivery.sender import Sender, send_all
from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.ledger import alarms
from reconciler.ledger.backlog import backlog
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.meters import Meter
from reconciler.ledger.outbox import Outbox
from reconciler.ledger.store import Ledger
from reconciler.model.errors import EndedError, LagoAwayError, LagoError, ReconcileError, SettingsError
from reconciler.report.figures import Delivered
from reconciler.report.progress import Progress
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings


@dataclass
class Outcome:
    """What became of one meter's planned events.

    Attributes:
        delivered: how many.
        error: why not all of them, if Lago is away or refuses us.
        warnings: what could not be known of them, a sentence each.
        foreign: why nothing is sent for the meter, if Lago holds events that its ledger does not know.
    """

    delivered: Delivered = field(default_factory=Delivered)
    error: ReconcileError | None = None
    warnings: list[str] = field(default_factory=list)
    foreign: UnknownEventsError | None = None


class Delivery:
    """Delivers for all meters of one pass."""

    def __init__(self, settings: Settings, ledger: Ledger, stopping: threading.Event) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._ledger = ledger
        self._ending = Ending(stopping)
        self._share = settings.deadline / len(settings.meters)
        self._unused = timedelta(0)
        self._lago = Lago.of(settings, self._ending)
        self._lagos = Lagos(self._lago, ledger)

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()

    def see_not_cut_over(self, wanted: MeterSettings, since: datetime, until: datetime) -> NotCutOverError | None:
        """Why a backfill is refused: LiteLLM's callback has billed its windows; None if not, or if nobody can tell.

        It takes of the time for sending.
        """
        began = monotonic()
        self._ending.begin(self._share.total_seconds())
        try:
            self._lagos.ask()
            return see_not_cut_over(self._lago, self._ledger, wanted, since, until)
        except LagoAwayError as error:
            self._lagos.is_away(error)
        except (LagoError, SettingsError, EndedError):
            pass  # the delivery meets it, too, and says it
        finally:
            self._unused -= timedelta(seconds=monotonic() - began)
        return None

    def run(
        self,
        wanted: MeterSettings,
        meter: Meter,
        *,
        now: datetime,
        progress: Progress,
        adopt: bool = False,
        only: Sequence[int] | None = None,
    ) -> Outcome:
        """Deliver what is planned for a meter; whatever Lago does, the pass goes on.

        The meter has its share of the time for sending and what those before it have left of theirs: no meter's
        backlog starves another.

        Args:
            wanted: the meter's settings.
            meter: its state.
            now: the source's clock.
            progress: told how many events there are, and how many were answered.
            adopt: whether another organization was declared.
            only: send these batches and leave the others for later; None sends all.
        """
        done = Outcome()
        allowed = self._share + self._unused
        began = monotonic()
        self._ending.begin(allowed.total_seconds())
        try:
            with suppress(EndedError):
                self._deliver(wanted, meter, now, progress, done, adopt=adopt, only=only)
        except UnknownEventsError as error:
            done.foreign = error
            with self._ledger.transaction() as connection:
                alarms.ring(connection, meter.name, Alarm("foreign", str(error), Decimal(error.count)))
        except LagoAwayError as error:
            done.error = error
            self._lagos.is_away(error)
        except ReconcileError as error:
            done.error = error
        finally:
            self._unused = max(timedelta(0), allowed - timedelta(seconds=monotonic() - began))
        return done

    def _deliver(
        self,
        wanted: MeterSettings,
        meter: Meter,
        now: datetime,
        progress: Progress,
        done: Outcome,
        *,
        adopt: bool,
        only: Sequence[int] | None,
    ) -> None:
        waiting = backlog(self._ledger, meter.name)
        if not any(waiting) and not adopt:
            return
        store, careful = self._lagos.ask()
        meter = hold_to(meter, self._ledger, self._lagos.organization, adopt=adopt)
        mirror = Mirror(meter, self._ledger, self._lago, self._lagos.organization, now)
        periods = Periods(mirror, wanted.closed_period, refuses_ids=store == "postgres", some_held=waiting.held)
        gate = Gate(meter, self._ledger, self._lago)
        if waiting.planned:
            gate.see_metric(wanted)
        try:
            done.delivered.add(gate.admit(store, periods, horizon=self._settings.horizon))
        finally:
            done.warnings = periods.warnings
        progress.delivering(waiting.planned)
        outbox = self._outbox(meter, store, only)
        try:
            self._send(outbox, now, progress, done, careful=careful)
        except MetAnotherError as met:
            with self._ledger.transaction() as connection:
                execute(connection, "delivery/ask_anew", {"meter": meter.name})  # the next pass stops at its gate
            raise not_ours(meter, self._ledger, [met.event]) from met

    def _outbox(self, meter: Meter, store: str, only: Sequence[int] | None) -> Outbox:
        settings, limits = self._settings, self._settings.limits
        repeatable = store == "postgres" or (store == "clickhouse" and settings.deduplication)
        visible_after = timedelta(seconds=limits.request) + settings.lag
        ask_after = timedelta(0) if repeatable else visible_after
        return Outbox(meter.name, self._lago.base, self._ledger, limits, ask_after=ask_after, only=only)

    def _send(self, outbox: Outbox, now: datetime, progress: Progress, done: Outcome, *, careful: bool) -> None:
        settings = self._settings
        repeatable = not outbox.ask_after
        fresh_since = now - settings.lookback
        senders = [
            Sender(outbox, self._lago, repeatable, fresh_since, self._ending, progress.answered)
            for _ in range(settings.connections)
        ]
        scout = replace(senders[0], in_vain=1)
        try:
            if careful:
                scout.run(most=1)
                if scout.delivered.accepted:
                    self._lagos.is_back()
            send_all(senders, self._ending)
        finally:
            for each in [scout, *senders]:
                done.delivered.add(each.delivered)
        if done.delivered.accepted:
            self._lagos.is_back()
        elif failed := next((each.failed for each in senders if each.failed), None):
            raise self._lago.away(failed)
