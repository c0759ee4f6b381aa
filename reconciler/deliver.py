"""Delivery: planned events go to Lago until it has each exactly once, or a person has to look.

Any number of senders may run, on any number of machines: a sender claims a batch, commits the attempt, sends the
frozen bytes, and records the answer. What was never answered goes again; Lago's unique id makes that harmless, and a
duplicate answer is always fetched and compared.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from json import loads
from typing import Any

from reconciler.errors import LagoError
from reconciler.lago import (
    BATCH,
    Accepted,
    Answer,
    Lago,
    Malformed,
    Refused,
    Rejected,
    Throttled,
    TooMany,
    Unknown,
    same,
)
from reconciler.outbox import LEASE, Event, Outbox
from reconciler.periods import Periods

__all__ = ["LEASE", "Delivered", "Delivery"]

TRIES = 3
"""How often a request whose outcome is unknown goes again before its batch is bisected."""

SUSPECTS = 3
"""How many single events of a batch may fail before Lago counts as away, if it takes no other."""


@dataclass
class Delivered:
    """What one delivery did."""

    accepted: int = 0
    quarantined: int = 0
    held: int = 0

    def add(self, other: "Delivered") -> None:
        """Add another's counts to this one."""
        self.accepted += other.accepted
        self.quarantined += other.quarantined
        self.held += other.held


@dataclass
class Health:
    """When Lago last took something, shared by all senders: what tells a poison event from an outage."""

    taken_at: float = field(default=-1.0)

    def took(self) -> None:
        """Note that Lago works."""
        self.taken_at = time.monotonic()


class Delivery:
    """Delivers one meter's planned events with several senders."""

    def __init__(
        self,
        outbox: Outbox,
        lago: Lago,
        periods: Periods,
        *,
        senders: int = 4,
        stopping: threading.Event | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take what is needed.

        Args:
            outbox: where the events are.
            lago: where they go.
            periods: tells which come too late for their billing period, and what to do with those.
            senders: how many requests at once.
            stopping: set from outside when the senders should end after their present request.
            progress: told how many events were answered, each time.
        """
        self.outbox = outbox
        self.lago = lago
        self.periods = periods
        self.progress = progress
        self.health = Health()
        self._senders = senders
        self._stop = threading.Event()
        self._stopping = stopping or threading.Event()
        self._batch = BATCH
        self._lock = threading.Lock()
        self.delivered = Delivered()
        """What has been delivered so far."""

    def run(self) -> None:
        """Send until nothing is left to claim.

        Raises:
            LagoError: Lago is away or refuses us; whatever was not answered stays planned.
        """
        with ThreadPoolExecutor(self._senders, thread_name_prefix="sender") as pool:
            senders = [pool.submit(self._send_all) for _ in range(self._senders)]
            try:
                for sender in senders:
                    sender.result()
            finally:
                self._stop.set()

    def _send_all(self) -> None:
        try:
            while not self.ending:
                events = self.outbox.claim(self._batch)
                if not events:
                    break
                sending = _Sending(self, events)
                try:
                    sending.run()
                except _EndedError:
                    return
                finally:
                    with self._lock:
                        self.delivered.add(sending.delivered)
                    self.outbox.release(sending.unanswered())
        except BaseException:
            self._stop.set()
            raise

    @property
    def ending(self) -> bool:
        """Whether the senders should end: one failed, or the service stops."""
        return self._stop.is_set() or self._stopping.is_set()

    def sleep(self, seconds: float) -> bool:
        """Wait, but no longer than the senders may run; say whether to go on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.ending:
            self._stop.wait(min(left, 0.2))
        return not self.ending

    def shrink(self, size: int) -> None:
        """Claim at most half of a batch that was too long."""
        self._batch = max(1, min(self._batch, size // 2))


class _EndedError(Exception):
    """The senders end while a batch is on its way; what has no answer is given back."""


class _Sending:
    """One claimed batch on its way: sent, cut in two where it has to be, until every event has its answer."""

    def __init__(self, delivery: Delivery, events: list[Event]) -> None:
        self._delivery = delivery
        self._lago = delivery.lago
        self._groups: deque[list[Event]] = deque([events])
        self._doubtful: list[Event] = []
        self._leased_at = time.monotonic()
        self._failed_at: float | None = None
        self.delivered = Delivered()

    def unanswered(self) -> list[Event]:
        """Events without an answer: to be given back."""
        return [event for group in self._groups for event in group] + self._doubtful

    def run(self) -> None:
        """Send until every event has its answer.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        self._hold_closed()
        while self._groups:
            self._keep_lease()
            if not self._groups:
                break
            group = self._groups[0]
            answer = self._send(group, tries=TRIES if len(self._groups) == 1 and len(group) > 1 else 1)
            self._take(group, answer)
        self._judge()

    def _hold_closed(self) -> None:
        """Hold or move what comes too late for its billing period, as the settings say."""
        ready = []
        for event in list(self._groups[0]):
            began = self._delivery.periods.closed_before(event)
            # What was claimed before may have been sent, in time and without an answer: only Lago knows.
            if began is None or (event.attempts > 1 and self._lago.find(event.transaction_id) is not None):
                ready.append(event)
            elif self._delivery.periods.rule == "move":
                ready.append(self._delivery.outbox.move(event, f"{began.timestamp():.3f}"))
            else:
                said = f"its billing period was closed: the present one began {began:%Y-%m-%d %H:%M} UTC"
                self._delivery.outbox.settle([event], "held", said, held_for="closed period")
                self._delivery.progress(1)
                self.delivered.held += 1
            self._keep_lease()
        self._groups = deque([ready] if ready else [])

    def _take(self, group: list[Event], answer: Answer) -> None:
        match answer:
            case Accepted():
                self._accept(group)
                self._groups.popleft()
            case Rejected(faults):
                self._delivery.health.took()
                for place, fault in sorted(faults.items()):
                    self._reject(group[place], fault)
                    self._groups[0] = [event for event in self._groups[0] if event is not group[place]]
                if not self._groups[0]:
                    self._groups.popleft()
            case TooMany() if len(group) > 1:
                self._delivery.shrink(len(group))
                self._halve(group)
            case TooMany():
                raise LagoError(self._lago.refuses("it takes no event in a batch (LAGO_EVENTS_BATCH_MAX_LENGTH)"))
            case Malformed() if len(group) > 1:
                self._halve(group)
            case Malformed(said):
                self._quarantine(group, said)
                self._groups.popleft()
            case Throttled(seconds):
                self._pause(seconds)
            case Refused(said):
                raise LagoError(self._lago.refuses(said))
            case Unknown():
                self._doubt(group, answer)

    def _send(self, group: list[Event], tries: int) -> Answer:
        ids = [event.transaction_id for event in group]
        payloads = [event.payload for event in group]
        for attempt in range(tries):
            answer = self._lago.post(ids, payloads)
            if not isinstance(answer, Unknown):
                return answer
            self._failed_at = self._failed_at or time.monotonic()
            if attempt + 1 < tries:
                self._pause(0.2 * 3**attempt)
        return answer

    def _doubt(self, group: list[Event], answer: Unknown) -> None:
        """Nobody knows whether the group was stored: look for an event that Lago chokes on, unless Lago is away."""
        said = answer.said
        if answer.kind == "away" or (answer.kind == "silent" and not self._works()):
            raise LagoError(self._lago.away(said))
        if len(group) > 1:
            self._halve(group)
            return
        self._groups.popleft()
        self._doubtful += group
        if not self._works():
            if len(self._doubtful) == SUSPECTS:
                raise LagoError(self._lago.away(said))
            self._groups.rotate()  # what was not yet cut may show that Lago works

    def _judge(self) -> None:
        """What Lago chokes on while it takes other events is poison; without that proof it stays planned."""
        for event in list(self._doubtful):
            answer = self._send([event], tries=TRIES)
            if not isinstance(answer, Unknown):
                self._doubtful.remove(event)
                self._groups.append([event])
                self._take([event], answer)
                while self._groups:
                    self._take(self._groups[0], self._send(self._groups[0], tries=1))
            elif answer.kind != "away" and self._is_proven(event):
                self._doubtful.remove(event)
                self._quarantine([event], f"{answer.said} each time, while Lago takes other events")
            else:
                raise LagoError(self._lago.away(answer.said))

    def _works(self) -> bool:
        """Whether Lago has taken events since this batch began to fail: what it took before proves nothing."""
        return self._failed_at is not None and self._delivery.health.taken_at > self._failed_at

    def _is_proven(self, event: Event) -> bool:
        return self._works() or (event.attempts > 1 and self._delivery.outbox.accepted_since(event.attempted_at))

    def _accept(self, events: list[Event]) -> None:
        self._delivery.health.took()
        self._delivery.outbox.settle(events, "accepted")
        self._delivery.progress(len(events))
        self.delivered.accepted += len(events)

    def _quarantine(self, events: list[Event], said: str, *, conflict: bool = False) -> None:
        self._delivery.outbox.settle(events, "quarantined", said, conflict=conflict)
        self._delivery.progress(len(events))
        self.delivered.quarantined += len(events)

    def _reject(self, event: Event, fault: Any) -> None:
        if fault != {"transaction_id": ["value_already_exist"]}:
            self._quarantine([event], f"422 {fault}")
            return
        # A duplicate is a question, not an answer: what does Lago hold under this id?
        held = self._lago.find(event.transaction_id)
        if held is None:
            self._quarantine([event], "422 value_already_exist, yet Lago shows no such event (deleted there?)")
        elif same(loads(event.payload), held):
            self._accept([event])
        else:
            self._quarantine([event], f"conflict: Lago holds another event under this id: {held}", conflict=True)

    def _halve(self, group: list[Event]) -> None:
        self._groups.popleft()
        middle = len(group) // 2
        self._groups.extendleft([group[middle:], group[:middle]])

    def _pause(self, seconds: float) -> None:
        if not self._delivery.sleep(seconds):
            raise _EndedError
        self._keep_lease()

    def _keep_lease(self) -> None:
        if not self._groups or time.monotonic() - self._leased_at < LEASE.total_seconds() / 2:
            return
        ours = set(map(id, self._delivery.outbox.renew([event for group in self._groups for event in group])))
        self._groups = deque(
            kept for group in self._groups if (kept := [event for event in group if id(event) in ours])
        )
        self._leased_at = time.monotonic()
