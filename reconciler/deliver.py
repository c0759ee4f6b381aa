"""Delivery: planned events go to Lago until it has each exactly once, or a person has to look.

Any number of senders may run, on any number of machines: a sender claims a batch, commits the attempt, sends the
frozen bytes, and records the answer. There are twice as many senders as requests on the wire: while one half waits for
Lago, the other claims and records.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from reconciler.lago import BATCH, Lago, Store
from reconciler.outbox import BEGINNING, Event, Outbox
from reconciler.periods import Periods
from reconciler.readback import Readback
from reconciler.sending import TRIES, BatchSize, Delivered, EndedError, Means, Sending

SENDERS = 8


class Delivery:
    """Delivers one meter's planned events with several senders."""

    def __init__(
        self,
        outbox: Outbox,
        lago: Lago,
        periods: Periods,
        *,
        store: Store,
        repeatable: bool = True,
        fresh_since: datetime = BEGINNING,
        senders: int = SENDERS,
        batch: int = BATCH,
        stopping: threading.Event | None = None,
        seconds: float = float("inf"),
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take what is needed.

        Args:
            outbox: where the events are.
            lago: where they go.
            periods: tells which come too late for their billing period, and what to do with those.
            store: which event store Lago has.
            repeatable: whether Lago counts a repeated event once, so that an open attempt may go again at once.
            fresh_since: windows from here on get every other batch, so that no backlog starves them.
            senders: how many at work at once.
            batch: the most events in one request, unless Lago takes fewer.
            stopping: set from outside when the senders should end after their present request.
            seconds: how long to begin new batches; the rest is for the next pass.
            progress: told how many events were answered, each time.
        """
        self._outbox = outbox
        self._means = Means(
            outbox=outbox,
            lago=lago,
            store=store,
            periods=periods,
            readback=Readback(lago),
            repeatable=repeatable,
            sleep=self._sleep,
            progress=progress,
            size=BatchSize(batch),
        )
        self._shares = itertools.cycle((BEGINNING, fresh_since))
        self._senders = senders
        self._failed = threading.Event()
        self._stopping = stopping or threading.Event()
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self.delivered = Delivered()
        """What has been delivered so far."""

    def run(self, *, carefully: bool = False) -> None:
        """Send until nothing is left to claim, or the time is up.

        Args:
            carefully: begin with one batch, sent once: Lago was away, and may still be.

        Raises:
            LagoError: Lago is away or refuses us; whatever was not answered stays planned.
        """
        if carefully and not self._send_one(tries=1):
            return
        with ThreadPoolExecutor(self._senders, thread_name_prefix="sender") as pool:
            senders = [pool.submit(self._send_all) for _ in range(self._senders)]
            try:
                for sender in senders:
                    sender.result()
            finally:
                self._failed.set()

    def _send_all(self) -> None:
        try:
            while not self.ending and self._send_one():
                pass
        except BaseException:
            self._failed.set()
            raise

    def _send_one(self, *, tries: int = TRIES) -> bool:
        """Send one batch; say whether to go on."""
        events = self._claim()
        if not events:
            return False
        sending = Sending(self._means, events, tries=tries)
        try:
            sending.run()
        except EndedError:
            return False
        finally:
            with self._lock:
                self.delivered.add(sending.delivered)
            sending.give_back()
        return True

    def _claim(self) -> list[Event]:
        with self._lock:
            since = next(self._shares)
        limit = self._means.size.size
        return self._outbox.claim(limit, since=since) or (self._outbox.claim(limit) if since > BEGINNING else [])

    @property
    def ending(self) -> bool:
        """Whether the senders should end: one failed, the service stops, or the time is up."""
        return self._failed.is_set() or self._stopping.is_set() or time.monotonic() > self._until

    def _sleep(self, seconds: float) -> bool:
        """Wait, but no longer than the senders may run; say whether to go on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.ending:
            self._failed.wait(min(left, 0.2))
        return not self.ending
