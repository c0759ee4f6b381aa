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
from datetime import datetime, timedelta
from json import loads
from typing import Any, Literal

from sqlalchemy import Connection, text

from reconciler.errors import LagoError
from reconciler.lago import (
    BATCH,
    REQUEST_SECONDS,
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
from reconciler.ledger.store import Ledger
from reconciler.postgres import cursor
from reconciler.statements import statement

LEASE = timedelta(seconds=3 * REQUEST_SECONDS)
"""How long a claimed event is left to its sender; longer than a request may take."""

TRIES = 3
"""How often a request whose outcome is unknown goes again before its batch is bisected."""


@dataclass(frozen=True)
class Event:
    """A claimed event: its key in the ledger, and what is sent."""

    window_start: datetime
    bucket: bytes
    revision: int
    payload: str
    attempted_at: datetime

    @property
    def transaction_id(self) -> str:
        """The id in the payload, at the place where planning put it."""
        return self.payload.split('"', 4)[3]


@dataclass
class Delivered:
    """What one delivery did."""

    accepted: int = 0
    quarantined: int = 0
    conflicts: int = 0

    def add(self, other: "Delivered") -> None:
        """Add another's counts to this one."""
        self.accepted += other.accepted
        self.quarantined += other.quarantined
        self.conflicts += other.conflicts


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
        meter: str,
        ledger: Ledger,
        lago: Lago,
        *,
        senders: int = 4,
        deadline: float | None = None,
        stopping: threading.Event | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take what is needed.

        Args:
            meter: whose events.
            ledger: where they are.
            lago: where they go.
            senders: how many requests at once.
            deadline: a `time.monotonic` after which nothing more is claimed; None is no deadline.
            stopping: set from outside when the senders should end after their present request.
            progress: told how many events were answered, each time.
        """
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._senders = senders
        self._deadline = deadline
        self._progress = progress
        self._stop = threading.Event()
        self._stopping = stopping or threading.Event()
        self._health = Health()
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
        for sender in senders:
            sender.result()

    def _send_all(self) -> None:
        try:
            while not self.ending:
                events = self._claim()
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
                    self._release(sending.unanswered())
        except BaseException:
            self._stop.set()
            raise

    def _claim(self) -> list[Event]:
        with self._ledger.transaction() as connection:
            rows = cursor(connection).execute(
                statement("claim"), {"meter": self._meter, "lease": LEASE, "limit": self._batch}
            )
            events = [Event(*row) for row in rows.fetchall()]  # type: ignore[arg-type]
        # In the same order from every sender: two batches that overlap in Lago then can't deadlock there.
        return sorted(events, key=lambda event: event.transaction_id)

    def _release(self, events: list[Event]) -> None:
        if events:
            with self._ledger.transaction() as connection:
                self._lease(connection, events, None)

    def _lease(self, connection: Connection, events: list[Event], lease: timedelta | None) -> set[tuple[object, ...]]:
        rows = cursor(connection).execute(statement("release"), {"meter": self._meter, "lease": lease, **_keys(events)})
        return set(rows.fetchall())

    def renew(self, events: list[Event]) -> list[Event]:
        """Keep the events for another lease; those that someone else has settled meanwhile are left out."""
        with self._ledger.transaction() as connection:
            ours = self._lease(connection, events, LEASE)
        return [event for event in events if (event.window_start, event.bucket, event.revision) in ours]

    def settle(
        self,
        events: list[Event],
        state: Literal["accepted", "quarantined"],
        answer: str | None = None,
        *,
        conflict: bool = False,
    ) -> None:
        """Commit what Lago answered."""
        if not events:
            return
        with self._ledger.transaction() as connection:
            work = cursor(connection)
            values = {"meter": self._meter, "state": state, "answer": answer, "conflict": conflict}
            work.execute(statement("settle"), {**values, **_keys(events)})
            if conflict:
                for event in events:
                    key = {"window_start": event.window_start, "bucket": event.bucket}
                    work.execute(statement("hold_later_revisions"), {"meter": self._meter, **key})
        self._progress(len(events))

    def accepted_since(self, moment: datetime) -> bool:
        """Whether Lago has taken any event of the meter since then."""
        with self._ledger.transaction() as connection:
            return bool(
                connection.scalar(
                    text(
                        "SELECT EXISTS (SELECT FROM reconciler.event WHERE meter = :meter AND state = 'accepted' "
                        "AND window_start >= (SELECT watermark - interval '35 days' FROM reconciler.meter "
                        "WHERE name = :meter) AND answered_at > :moment)"
                    ),
                    {"meter": self._meter, "moment": moment},
                )
            )

    @property
    def lago(self) -> Lago:
        """Where events go."""
        return self._lago

    @property
    def health(self) -> Health:
        """What all senders know of Lago."""
        return self._health

    @property
    def ending(self) -> bool:
        """Whether the senders should end: one failed, the service stops, or the time is up."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return self._stop.is_set() or self._stopping.is_set() or late

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
        self._began = time.monotonic()
        self.delivered = Delivered()

    def unanswered(self) -> list[Event]:
        """Events without an answer: to be given back."""
        return [event for group in self._groups for event in group] + self._doubtful

    def run(self) -> None:
        """Send until every event has its answer.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        while self._groups:
            self._keep_lease()
            if not self._groups:
                return
            group = self._groups[0]
            answer = self._send(group, tries=TRIES if len(self._groups) == 1 and len(group) > 1 else 1)
            self._take(group, answer)
        self._judge()

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
        if len(self._doubtful) > 1 and not self._works():
            raise LagoError(self._lago.away(said))

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
            elif answer.kind != "away" and (self._works() or self._delivery.accepted_since(event.attempted_at)):
                self._doubtful.remove(event)
                self._quarantine([event], f"{answer.said} each time, while Lago takes other events")
            else:
                raise LagoError(self._lago.away(answer.said))

    def _works(self) -> bool:
        return self._delivery.health.taken_at >= self._began

    def _accept(self, events: list[Event]) -> None:
        self._delivery.health.took()
        self._delivery.settle(events, "accepted")
        self.delivered.accepted += len(events)

    def _quarantine(self, events: list[Event], said: str, *, conflict: bool = False) -> None:
        self._delivery.settle(events, "quarantined", said, conflict=conflict)
        self.delivered.quarantined += len(events)
        self.delivered.conflicts += len(events) if conflict else 0

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
        if time.monotonic() - self._leased_at < LEASE.total_seconds() / 2:
            return
        ours = set(map(id, self._delivery.renew([event for group in self._groups for event in group])))
        self._groups = deque(
            kept for group in self._groups if (kept := [event for event in group if id(event) in ours])
        )
        self._leased_at = time.monotonic()


def _keys(events: list[Event]) -> dict[str, list[Any]]:
    return {
        "window_starts": [event.window_start for event in events],
        "buckets": [event.bucket for event in events],
        "revisions": [event.revision for event in events],
    }
