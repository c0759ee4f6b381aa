"""Delivery: planned events go to Lago until it has each exactly once, or a person has to look.

Any number of passes may deliver at once, on any number of machines: events are claimed and the attempt is committed,
the frozen bytes are sent, and the answer is recorded. One thread claims ahead, some send, one records behind them.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from reconciler.delivery.batch_size import BatchSize
from reconciler.delivery.means import Means
from reconciler.delivery.periods import Periods
from reconciler.delivery.pipeline import Recorder, Supply
from reconciler.delivery.sending import Sending
from reconciler.lago.client import BATCH, Lago, Store
from reconciler.lago.ending import Ending
from reconciler.lago.readback import Readback
from reconciler.ledger.outbox import BEGINNING, Event, Failures, Outbox
from reconciler.model.errors import EndedError, LagoAwayError, ReconcileError
from reconciler.report.figures import Delivered

SENDERS = 4

T = TypeVar("T")


class Delivery:
    """Delivers one meter's planned events with several senders."""

    def __init__(
        self,
        outbox: Outbox,
        lago: Lago,
        periods: Periods,
        *,
        store: Store,
        visible_after: timedelta = timedelta(0),
        repeatable: bool = True,
        fresh_since: datetime = BEGINNING,
        senders: int = SENDERS,
        batch: int = BATCH,
        ending: Ending | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take what is needed.

        Args:
            outbox: where the events are.
            lago: where they go.
            periods: tells which come too late for their billing period, and what to do with those.
            store: which event store Lago has.
            visible_after: how long after a request began Lago shows what it stored.
            repeatable: whether Lago counts a repeated event once, so that an open attempt may go again at once.
            fresh_since: windows from here on get every other batch, so that no backlog starves them.
            senders: how many batches on the wire at once.
            batch: the most events in one request, unless Lago takes fewer.
            ending: when the senders should end after their present request; the rest is for the next pass.
            progress: told how many events were answered and recorded, each time.
        """
        self._outbox = outbox
        self._progress = progress
        self._size = BatchSize(batch)
        self._means = Means(
            outbox=outbox,
            lago=lago,
            store=store,
            periods=periods,
            readback=Readback(lago),
            visible_after=visible_after,
            repeatable=repeatable,
            sleep=self._sleep,
            accepted=self._accepted,
            progress=progress,
            size=self._size,
        )
        self._recorder = Recorder(outbox, progress)
        self._fresh_since = fresh_since
        self._senders = senders
        self._failed = threading.Event()
        self._ending = ending or Ending()
        self._lock = threading.Lock()
        self.delivered = Delivered()
        """What has been delivered so far."""

    def try_once(self) -> None:
        """Send one batch, once: Lago was away, and may still be.

        Raises:
            LagoError: it is, or it refuses us.
        """
        # Half of them new: the oldest may be just those on which Lago chokes.
        events = self._outbox.claim(self._size.size // 2, since=self._outbox.newest() or BEGINNING)
        events += self._outbox.claim(self._size.size - len(events))
        if events:
            try:
                self._send(events, careful=True)
            finally:
                self._recorder.flush()

    def run(self) -> None:
        """Send until nothing is left to claim, or the time is up.

        Raises:
            LagoError: Lago is away or refuses us; whatever was not answered stays planned.
        """
        # What is left behind an event of its bucket can be claimed only when that one is recorded: hence in rounds.
        while not self.ending and self._round():
            pass
        evidence = self._means.evidence
        if evidence.in_vain and not self.delivered.accepted:
            raise LagoAwayError(self._means.lago.away(evidence.said))

    def _round(self) -> bool:
        """Send all that can be claimed now; say whether there was anything."""
        supply = Supply(self._outbox, size=lambda: self._size.size, fresh_since=self._fresh_since)
        self._recorder = Recorder(self._outbox, self._progress)
        try:
            took = self._run_threads(supply, self._recorder)
        except BaseException:
            with suppress(ReconcileError):
                supply.give_back()
            raise
        supply.give_back()
        return took

    def _run_threads(self, supply: Supply, recorder: Recorder) -> bool:
        """Claim, send and record until all have ended; say whether anything was sent, or raise the first error."""
        with ThreadPoolExecutor(self._senders + 2, thread_name_prefix="delivery") as pool:
            threads: list[Future[Any]] = []
            senders: list[Future[bool]] = []
            try:
                threads += [pool.submit(self._watched, each.run) for each in (supply, recorder)]
                senders.extend(pool.submit(self._watched, self._send_all, supply) for _ in range(self._senders))
                wait(senders)
            except BaseException:  # Ctrl-C: what is on the wire still gets its answer recorded
                self._failed.set()
                wait(senders)
                raise
            finally:
                supply.end()
                recorder.end()
        if errors := [error for each in (*senders, *threads) if (error := each.exception())]:
            raise errors[0]
        return any(sender.result() for sender in senders)

    def _send_all(self, supply: Supply) -> bool:
        """Send batches until there are no more; say whether there was any."""
        took = False
        while not self.ending and (events := supply.take()):
            self._send(events)
            took = True
        return took

    def _watched(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do a thread's work; if it fails, the others end."""
        try:
            return work(*arguments)
        except BaseException:
            self._failed.set()
            raise

    def _send(self, events: list[Event], *, careful: bool = False) -> None:
        sending = Sending(self._means, events, careful=careful)
        try:
            with suppress(EndedError):
                sending.run()
        finally:
            with self._lock:
                self.delivered.add(sending.delivered)
            sending.give_back()

    def _accepted(self, events: Sequence[Event], failures: Failures) -> None:
        self._recorder.accepted(events, failures)

    @property
    def ending(self) -> bool:
        """Whether the senders should end: one failed, or the pass is to end."""
        return self._failed.is_set() or self._ending.has_come

    def _sleep(self, seconds: float) -> bool:
        """Wait, but no longer than the senders may run; say whether to go on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.ending:
            self._failed.wait(min(left, 0.2))
        return not self.ending
