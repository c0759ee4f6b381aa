"""The station between ledger and Lago: whether to deliver now, in which way, and what to record of it.

First whether Lago is worth asking (an outage that lasts is asked about by one pass at a time), then which store it
has, then whether it holds events that the ledger does not know; only then are events sent.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

from reconciler.delivery.deliver import Delivery
from reconciler.delivery.first_look import UnknownEventsError, ask_first
from reconciler.delivery.periods import Periods
from reconciler.lago.client import REQUEST_SECONDS, Lago, Store
from reconciler.lago.ending import Ending
from reconciler.ledger import alarms, lagos
from reconciler.ledger.balance import standing
from reconciler.ledger.meters import Meter
from reconciler.ledger.outbox import RENEW_SECONDS, Outbox
from reconciler.ledger.store import Ledger
from reconciler.model.errors import EndedError, LagoAwayError, LagoError
from reconciler.report.figures import Delivered
from reconciler.report.progress import Progress
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings

CAREFUL_SECONDS = 5.0
"""How long a Lago that was away may take to answer the first question."""


@dataclass
class Dispatched:
    """What became of one meter's planned events.

    Attributes:
        delivered: how many.
        error: why not all of them, if Lago is away or refuses us.
    """

    delivered: Delivered = field(default_factory=Delivered)
    error: LagoError | None = None


class Dispatch:
    """Delivers for all meters of one pass."""

    def __init__(self, settings: Settings, ledger: Ledger, stopping: threading.Event) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._ledger = ledger
        self._ending = Ending(stopping)
        self._share = settings.deadline / len(settings.meters)
        self._unused = timedelta(0)
        self._lago = Lago(
            settings.lago_api_base,
            settings.lago_api_key.get_secret_value(),
            rate=settings.rate,
            ending=self._ending,
        )
        self._away: LagoAwayError | None = None
        self._asked: tuple[Store, bool] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()

    def run(self, wanted: MeterSettings, meter: Meter, *, now: datetime, progress: Progress) -> Dispatched:
        """Deliver what is planned for a meter; whatever Lago does, the pass goes on.

        The meter has its share of the time for sending and what those before it have left of theirs: no meter's
        backlog starves another.

        Args:
            wanted: the meter's settings.
            meter: its state.
            now: the source's clock.
            progress: told how many events there are, and how many were answered.
        """
        done = Dispatched()
        allowed = self._share + self._unused
        began = monotonic()
        self._ending.begin(allowed.total_seconds())
        try:
            with suppress(EndedError):
                self._deliver(wanted, meter, now, progress, done)
        except UnknownEventsError as error:
            with self._ledger.transaction() as connection:
                alarms.ring(connection, meter.name, alarms.Alarm("foreign", str(error), Decimal(error.count)))
        except LagoError as error:
            done.error = error
            if isinstance(error, LagoAwayError) and error is not self._away:
                self._away = error
                with self._ledger.transaction() as connection:
                    lagos.is_away(connection, self._lago.base)
        finally:
            self._unused = max(timedelta(0), allowed - timedelta(seconds=monotonic() - began))
        return done

    def _deliver(
        self, wanted: MeterSettings, meter: Meter, now: datetime, progress: Progress, done: Dispatched
    ) -> None:
        if wanted.closed_period != "hold":
            Outbox(meter.name, self._ledger).release_closed()
        with self._ledger.transaction() as connection:
            pending = standing(connection, meter.name, meter.watermark).planned_events
        if not pending:
            return
        if self._away is not None:
            raise self._away
        self._asked = self._asked or self._ask()  # once for all meters: the turn is the pass's
        store, careful = self._asked
        ask_first(meter, self._ledger, self._lago, horizon=self._settings.horizon)
        with self._ledger.transaction() as connection:
            alarms.clear(connection, meter.name, "foreign")
        repeatable = store == "postgres" or (store == "clickhouse" and self._settings.deduplication)
        visible_after = timedelta(seconds=REQUEST_SECONDS + RENEW_SECONDS) + self._settings.lag
        progress.delivering(pending)
        delivery = Delivery(
            Outbox(meter.name, self._ledger, ask_after=timedelta(0) if repeatable else visible_after),
            self._lago,
            Periods(self._lago, wanted.closed_period, meter.timeline.window_end, lambda: datetime.now(UTC)),
            store=store,
            visible_after=visible_after,
            repeatable=repeatable,
            fresh_since=now - self._settings.lookback,
            ending=self._ending,
            progress=progress.answered,
        )
        try:
            if careful:
                delivery.try_once()
                self._note_acceptance(delivery)
            delivery.run()
        finally:
            done.delivered.add(delivery.delivered)
        self._note_acceptance(delivery)

    def _note_acceptance(self, delivery: Delivery) -> None:
        if delivery.delivered.accepted:
            with self._ledger.transaction() as connection:
                lagos.is_back(connection, self._lago.base)

    def _ask(self) -> tuple[Store, bool]:
        """Which store Lago has, and whether it was away until now.

        Raises:
            LagoAwayError: it is still away, or another pass is asking.
        """
        base = self._lago.base
        with self._ledger.transaction() as connection:
            known, turn = lagos.may_ask(connection, base)
        careful = known.away_since is not None
        if not turn:
            self._away = LagoAwayError(
                f"Lago at LAGO_API_BASE ({base}) can't be reached since {known.away_since:%Y-%m-%d %H:%M} UTC; it was "
                f"asked at {known.asked_at:%H:%M:%S} and is asked again from {known.next_at:%H:%M:%S} on. "
                "All events stay planned."
            )
            raise self._away
        store = self._lago.store(seconds=CAREFUL_SECONDS, tries=1) if careful else self._lago.store()
        with self._ledger.transaction() as connection:
            lagos.has_store(connection, base, store)
        return store, careful
