"""The two ends of delivery that the senders don't wait for: claiming ahead of them, recording behind them.

A request takes as long as Lago takes. What the ledger needs before and after it goes on meanwhile, in two threads of
its own and in few, larger transactions. Neither end changes what is promised: an event is claimed, and that is
committed, before it is sent; an answer that a kill kept from being recorded leaves an open attempt.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from reconciler.ledger.outbox import BEGINNING, RENEW_SECONDS, Event, Failures, Outbox
from reconciler.model.errors import ReconcileError

AHEAD = 16
"""Batches that are claimed in one go."""

RECORDED_AT_ONCE = 2000
"""Events; the most whose answers are recorded in one transaction."""


class Supply:
    """Claims ahead: oldest usage first, with every other batch of fresh usage so that no backlog starves it."""

    def __init__(self, outbox: Outbox, *, size: Callable[[], int], fresh_since: datetime) -> None:
        """Claim nothing yet.

        Args:
            outbox: where the events are.
            size: tells how many events make a batch.
            fresh_since: windows from here on are fresh.
        """
        self._outbox = outbox
        self._size = size
        self._fresh_since = fresh_since
        self._ready: deque[Event] = deque()
        self._changed = threading.Condition()
        self._ended = False

    def run(self) -> None:
        """Claim until nothing is left to claim, or until `end`."""
        try:
            while events := self._claim():
                with self._changed:
                    self._ready.extend(events)
                    self._changed.notify_all()
                    self._keep_claims(until=lambda: len(self._ready) <= AHEAD // 2 * self._size())
                    if self._ended:
                        return
            with self._changed:
                self._keep_claims(until=lambda: not self._ready)
        finally:
            self.end()

    def take(self) -> list[Event]:
        """Return the next batch, as soon as there is one; empty when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            batch = [self._ready.popleft() for _ in range(min(self._size(), len(self._ready)))]
            self._changed.notify_all()
        # In the same order from every sender: two batches that overlap in Lago then can't deadlock there.
        return sorted(batch, key=lambda event: event.transaction_id)

    def end(self) -> None:
        """Claim no more; what is ready may still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def give_back(self) -> None:
        """Release what nobody took: it was certainly not sent."""
        with self._changed:
            left = list(self._ready)
            self._ready.clear()
        self._outbox.release(left)

    def _keep_claims(self, *, until: Callable[[], bool]) -> None:
        """Renew what waits for a sender, so that a slow Lago doesn't let the claims end, until it or all is to end."""
        while not self._changed.wait_for(lambda: self._ended or until(), timeout=RENEW_SECONDS):
            ours = self._outbox.renew(self._ready)
            self._ready = deque(ours[id_] for event in self._ready if (id_ := event.transaction_id) in ours)

    def _claim(self) -> list[Event]:
        with self._changed:
            if self._ended:
                return []
        size = self._size()
        fresh = self._outbox.claim(AHEAD // 2 * size, since=self._fresh_since) if self._fresh_since > BEGINNING else []
        try:
            old = self._outbox.claim(AHEAD * size - len(fresh))
        except ReconcileError:
            with suppress(ReconcileError):
                self._outbox.release(fresh)
            raise
        events: list[Event] = []
        for at in range(0, max(len(old), len(fresh)), size):
            events += old[at : at + size] + fresh[at : at + size]
        return events


class Recorder:
    """Records accepted events, as many in one transaction as have come while the one before was under way."""

    def __init__(self, outbox: Outbox, progress: Callable[[int], None]) -> None:
        """Record nothing yet; `progress` is told how many were recorded, each time."""
        self._outbox = outbox
        self._progress = progress
        self._waiting: deque[tuple[Event, str | None]] = deque()
        self._changed = threading.Condition()
        self._ended = False

    def run(self) -> None:
        """Record what comes, until `end` and all of it is recorded."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
            self.flush()

    def accepted(self, events: Sequence[Event], failures: Failures) -> None:
        """Take accepted events; returns before they are recorded."""
        with self._changed:
            self._waiting.extend((event, failures.get(event.transaction_id)) for event in events)
            self._changed.notify_all()

    def flush(self) -> None:
        """Record some of what waits.

        Raises:
            LedgerError: the ledger can't be written; the events stay open.
        """
        with self._changed:
            some = [self._waiting.popleft() for _ in range(min(RECORDED_AT_ONCE, len(self._waiting)))]
        if some:
            failures = {event.transaction_id: failure for event, failure in some if failure is not None}
            self._outbox.settle([event for event, _ in some], "accepted", failures=failures)
            self._progress(len(some))

    def end(self) -> None:
        """No more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
