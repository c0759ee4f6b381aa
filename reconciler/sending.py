"""One claimed batch on its way: sent, cut in two where it has to be, until every event has its answer.

What is not answered is given back as what it is: certainly not stored, or open, an attempt whose end nobody knows. A
Lago that refuses a repeated event (its Postgres store) or lets the same bytes count once (ClickHouse with
deduplication) gets an open event again at once. Any other is first asked, some time later, whether it has it.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from reconciler.answers import (
    DUPLICATE,
    Accepted,
    Answer,
    Malformed,
    Refused,
    Rejected,
    Throttled,
    TooMany,
    Unknown,
)
from reconciler.errors import LagoAwayError, LagoError
from reconciler.lago import BATCH, Lago, Store
from reconciler.outbox import Event, Failures, Outbox
from reconciler.periods import Periods
from reconciler.readback import Readback
from reconciler.unsendable import unsendable

TRIES = 3
"""How often a request whose outcome is unknown goes again before its batch is bisected."""

SUSPECTS = 3
"""How many single events of a batch may fail before Lago counts as away, if it takes no other."""

ALONE_AT = BATCH.bit_length() + 1
"""The attempt at which an event goes alone, where what failed goes in smaller batches each time."""

RENEW_SECONDS = 10.0
"""A claim older than this is renewed before the next request: the ledger knows to that when a request began."""

log = structlog.get_logger("reconciler")


class EndedError(Exception):
    """The senders end while a batch is on its way; what has no answer is given back."""


@dataclass
class Delivered:
    """What a delivery did, in events."""

    accepted: int = 0
    quarantined: int = 0
    held: int = 0

    def add(self, other: "Delivered") -> None:
        """Add another's counts to this one."""
        self.accepted += other.accepted
        self.quarantined += other.quarantined
        self.held += other.held


@dataclass
class BatchSize:
    """How many events go in one request: as many as Lago takes, found by halving and creeping up again."""

    size: int
    taken: int = 0
    refused: int = field(init=False)

    def __post_init__(self) -> None:
        """Nothing has been refused yet."""
        self.refused = self.size + 1

    def too_many(self, size: int) -> None:
        """Lago refused so many at once."""
        self.refused = min(self.refused, size)
        self.taken = min(self.taken, self.refused - 1)
        self.size = max(1, (self.taken + self.refused) // 2)

    def took(self, size: int) -> None:
        """Lago took so many at once."""
        self.taken = max(self.taken, min(size, self.refused - 1))
        if size == self.size < self.refused - 1:
            self.size = (self.taken + self.refused) // 2


@dataclass
class Means:
    """What all senders of a delivery share.

    Attributes:
        outbox: where events come from and answers go.
        lago: where events go.
        store: which event store Lago has.
        periods: tells which events come too late for their billing period, and what to do with those.
        readback: asks what Lago holds.
        repeatable: whether an open attempt may go again at once: a repetition counts once.
        sleep: waits so many seconds; says whether to go on.
        accepted: takes events that Lago has accepted, with why some went more than once; records them in a while.
        progress: told how many events were answered, each time.
        size: of batches.
        taken_at: when the last request began that Lago took something of, by the monotonic clock: what tells a poison
            event from an outage.
    """

    outbox: Outbox
    lago: Lago
    store: Store
    periods: Periods
    readback: Readback
    repeatable: bool
    sleep: Callable[[float], bool]
    accepted: Callable[[Sequence[Event], Failures], None]
    progress: Callable[[int], None]
    size: BatchSize
    taken_at: float = -1.0


class Sending:
    """A batch that one sender has claimed."""

    def __init__(self, means: Means, events: list[Event], *, tries: int = TRIES) -> None:
        """Send nothing yet; `tries` is how often a batch of unknown outcome goes before anything follows from it."""
        self._means = means
        self._tries = tries
        self._groups: deque[list[Event]] = deque([events])
        self._doubtful: list[Event] = []
        self._tried = 0  # the group in front, in this claim
        self._leased_at = min((event.leased_at for event in events), default=0.0)
        self._began = -1.0  # the last request
        self._failed_at: float | None = None
        self._sent: set[str] = set()
        self._failures: dict[str, str] = {}
        self.delivered = Delivered()

    def run(self) -> None:
        """Send until every event has its answer, or is open and has to wait.

        Raises:
            LagoError: Lago is away or refuses us.
            EndedError: the senders end.
        """
        self._quarantine_unsendable()
        self._hold_closed()
        if not self._means.repeatable:
            self._read_back()
        self._drain()
        if self._means.repeatable:
            self._judge()
        elif self._works():
            for event in [each for each in self._doubtful if each.attempts > ALONE_AT]:
                self._doubtful.remove(event)
                self._quarantine([event], "it fails each time, alone, while Lago takes other events")
        elif self._doubtful:
            raise LagoAwayError(self._means.lago.away(self._failures[self._doubtful[0].transaction_id]))

    def give_back(self) -> None:
        """Give back what has no answer."""
        left = [event for group in self._groups for event in group] + self._doubtful
        self._means.outbox.release(left, sent=frozenset(self._sent), failures=self._failures)

    # -- before anything is sent

    def _quarantine_unsendable(self) -> None:
        """Quarantine what Lago is known to choke on, unless a person has said that it goes all the same."""
        for event in list(self._groups[0]):
            if not event.decided and (reason := unsendable(event, self._means.store)):
                self._drop(event)
                self._quarantine([event], f"not sent: {reason}")

    def _hold_closed(self) -> None:
        """Hold or move what comes too late for its billing period, as the settings say."""
        periods = self._means.periods
        for event in self._events():
            began = periods.closed_before(event)
            if began is None or self._may_be_there(event):
                continue
            if periods.rule == "move":
                self._replace(event, self._means.outbox.move(event, f"{began.timestamp():.3f}"))
            else:
                said = f"its billing period was closed: the present one began {began:%Y-%m-%d %H:%M} UTC"
                self._means.outbox.settle([event], "held", said, held_for="closed period")
                self._means.progress(1)
                self.delivered.held += 1
                self._drop(event)
            self._keep_claim()

    def _may_be_there(self, event: Event) -> bool:
        """What was sent before, in time and without an answer, may be in Lago: only Lago knows."""
        if event.open_since is None:
            return False
        if self._means.store == "clickhouse" and self._means.repeatable:
            return True  # it may not be visible yet; the same bytes count once, with another timestamp they would not
        [(verdict, _)] = self._means.readback.verdicts([event])
        return verdict != "missing"

    def _read_back(self) -> None:
        """Ask what became of open attempts; what is not there goes again, in smaller batches each time."""
        waiting = [event for event in self._events() if event.open_since is not None]
        fresh = [event for event in self._events() if event.open_since is None]
        groups: dict[int, list[Event]] = {}
        for event, (verdict, held) in zip(waiting, self._means.readback.verdicts(waiting), strict=True):
            if verdict == "equal":
                self._accept([event])
            elif verdict == "conflict":
                self._conflict(event, held)
            else:
                groups.setdefault(max(1, BATCH >> (event.attempts - 1)), []).append(event)
        again = [group[at : at + size] for size, group in sorted(groups.items()) for at in range(0, len(group), size)]
        self._groups = deque(again + ([fresh] if fresh else []))  # the others come after what they may prove poison

    # -- on the way

    def _drain(self) -> None:
        while self._groups:
            with self._means.lago.slot():
                if not self._means.sleep(0):
                    raise EndedError
                self._keep_claim()
                if not self._groups:
                    return
                group = self._groups[0]
                answer = self._post(group)
            self._tried += 1
            self._take(group, answer)

    def _post(self, group: Sequence[Event]) -> Answer:
        """Send a group; it counts as sent from before the request on, unless the answer says that it is not."""
        ids = [event.transaction_id for event in group]
        newly = set(ids) - self._sent
        self._sent |= newly
        self._began = time.monotonic()
        answer = self._means.lago.post(ids, [event.payload for event in group])
        if not isinstance(answer, Accepted | Unknown) or (isinstance(answer, Unknown) and answer.kind == "away"):
            self._sent -= newly
        return answer

    def _take(self, group: list[Event], answer: Answer) -> None:
        match answer:
            case Accepted():
                self._next()
                self._means.size.took(len(group))
                self._means.taken_at = max(self._means.taken_at, self._began)
                self._accept(group)
            case Rejected(faults):
                self._reject(group, faults)
            case TooMany() if len(group) > 1:
                self._means.size.too_many(len(group))
                self._again(group, "422 too_many_events")
                self._cut(group, self._means.size.size)
            case TooMany():
                raise LagoError(self._means.lago.refuses("it takes no event in a batch (LAGO_EVENTS_BATCH_MAX_LENGTH)"))
            case Malformed(said) if len(group) > 1:
                self._again(group, said)
                self._cut(group, (len(group) + 1) // 2)
            case Malformed(said):
                self._next()
                self._quarantine(group, said)
            case Throttled(seconds):
                self._tried = 0
                self._again(group, "429, it asks to wait")
                self._pause(seconds)
            case Refused(said):
                raise LagoError(self._means.lago.refuses(said))
            case Unknown():
                self._doubt(group, answer)

    def _doubt(self, group: list[Event], answer: Unknown) -> None:
        """Nobody knows whether the group was stored: look for an event that Lago chokes on, unless Lago is away."""
        self._failed_at = self._failed_at or time.monotonic()
        self._again(group, answer.said)
        if answer.kind != "away" and not self._means.repeatable:
            self._next()
            self._doubtful += group
            return
        whole = len(self._groups) == 1 and len(group) > 1
        if self._tried < (self._tries if whole else 1):
            self._pause(0.2 * 3 ** (self._tried - 1))
            return
        if answer.kind == "away" or (answer.kind == "silent" and not self._works()):
            raise LagoAwayError(self._means.lago.away(answer.said))
        if len(group) > 1:
            self._cut(group, (len(group) + 1) // 2)
            return
        self._next()
        self._doubtful += group
        if not self._works():
            if len(self._doubtful) >= SUSPECTS:
                raise LagoAwayError(self._means.lago.away(answer.said))
            self._groups.rotate()  # what was not yet cut may show that Lago works

    def _judge(self) -> None:
        """What Lago chokes on while it takes other events is poison; without that proof it stays planned."""
        for event in list(self._doubtful):
            self._doubtful.remove(event)
            self._groups.append([event])
            for attempt in range(1, self._tries + 1):
                self._keep_claim()
                if not self._groups:
                    break
                with self._means.lago.slot():
                    answer = self._post([event])
                if not isinstance(answer, Unknown):
                    self._take([event], answer)
                    self._drain()
                    break
                self._again([event], answer.said)
                if attempt < self._tries:
                    self._pause(0.2 * 3 ** (attempt - 1))
                elif answer.kind != "away" and self._works():
                    self._next()
                    self._quarantine([event], f"{answer.said} each time, while Lago takes other events")
                else:
                    raise LagoAwayError(self._means.lago.away(answer.said))

    def _works(self) -> bool:
        """Whether Lago took events of a request that began after this batch had failed: earlier ones prove nothing."""
        return self._failed_at is not None and self._means.taken_at > self._failed_at

    # -- answers

    def _accept(self, events: list[Event]) -> None:
        self._means.accepted(events, self._failures)
        self.delivered.accepted += len(events)

    def _quarantine(self, events: list[Event], said: str, *, conflict: bool = False) -> None:
        self._means.outbox.settle(events, "quarantined", said, conflict=conflict, failures=self._failures)
        self._means.progress(len(events))
        self.delivered.quarantined += len(events)

    def _conflict(self, event: Event, held: str) -> None:
        self._quarantine([event], f"conflict: Lago holds another event under this id: {held}", conflict=True)

    def _reject(self, group: list[Event], faults: Any) -> None:
        """Take out what Lago names; the rest of the batch was not stored and goes again."""
        duplicates = [group[place] for place, fault in faults.items() if fault == DUPLICATE]
        # A duplicate is a question, not an answer: what does Lago hold under this id?
        verdicts = self._means.readback.verdicts(duplicates, duplicates=True) if duplicates else []
        for event, (verdict, held) in zip(duplicates, verdicts, strict=True):
            if verdict == "conflict":
                self._drop(event)
                self._conflict(event, held)
            elif verdict == "missing":
                self._drop(event)
                said = "422 value_already_exist, yet Lago shows no such event (deleted there?)"
                self._quarantine([event], said)
        equal = [event for event, (verdict, _) in zip(duplicates, verdicts, strict=True) if verdict == "equal"]
        for event in equal:
            self._drop(event)
        if equal:
            self._accept(equal)
        for place, fault in faults.items():
            if fault != DUPLICATE:
                self._drop(group[place])
                self._quarantine([group[place]], f"422 {fault}")
        self._tried = 0
        left = {event.transaction_id for event in self._events()}
        again = [event for event in group if event.transaction_id in left]
        self._again(again, "its batch was refused for another event in it")

    # -- the groups

    def _events(self) -> list[Event]:
        return [event for group in self._groups for event in group]

    def _next(self) -> None:
        self._groups.popleft()
        self._tried = 0

    def _drop(self, event: Event) -> None:
        """Take one event out of the groups."""
        self._keep(lambda each: each.transaction_id != event.transaction_id)

    def _replace(self, event: Event, by: Event) -> None:
        def replaced(each: Event) -> Event:
            if each.transaction_id != event.transaction_id:
                return each
            return replace(by, claimed_at=each.claimed_at, leased_at=each.leased_at)  # it may have been renewed since

        self._groups = deque([replaced(each) for each in group] for group in self._groups)

    def _keep(self, wanted: Callable[[Event], bool]) -> None:
        self._groups = deque(kept for group in self._groups if (kept := [event for event in group if wanted(event)]))

    def _cut(self, group: list[Event], size: int) -> None:
        self._next()
        self._groups.extendleft(reversed([group[at : at + size] for at in range(0, len(group), size)]))

    def _again(self, events: Sequence[Event], reason: str) -> None:
        """Say why events go again."""
        if not events:
            return
        self._failures |= dict.fromkeys((event.transaction_id for event in events), reason)
        log.warning(
            "events go again",
            meter=self._means.outbox.meter,
            events=len(events),
            first=events[0].transaction_id,
            reason=reason,
        )

    def _pause(self, seconds: float) -> None:
        if not self._means.sleep(seconds):
            raise EndedError

    def _keep_claim(self) -> None:
        if not self._groups or time.monotonic() - self._leased_at < RENEW_SECONDS:
            return
        self._leased_at = time.monotonic()
        ours = self._means.outbox.renew(self._events())
        renewed = ([ours[id_] for event in group if (id_ := event.transaction_id) in ours] for group in self._groups)
        self._groups = deque(group for group in renewed if group)
