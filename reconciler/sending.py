"""One claimed batch on its way: sent, cut in two where it has to be, until every event has its answer.

What is not answered is given back as what it is: certainly not stored, or open, an attempt whose end nobody knows. A
Lago that refuses a repeated event (its Postgres store) or lets the same bytes count once (ClickHouse with
deduplication) gets an open event again at once. Any other is first asked, some time later, whether it has it.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Literal

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
from reconciler.batch_size import BatchSize
from reconciler.errors import EndedError, LagoAwayError, LagoError
from reconciler.evidence import ENOUGH, IN_VAIN, Evidence
from reconciler.lago import BATCH, Lago, Store
from reconciler.outbox import RENEW_SECONDS, Event, Failures, Outbox
from reconciler.periods import Periods
from reconciler.readback import Readback
from reconciler.unsendable import unsendable

TRIES = 3
"""How often a request whose outcome is unknown goes again before anything follows from it."""

log = structlog.get_logger("reconciler")


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
class Means:
    """What all senders of a delivery share.

    Attributes:
        outbox: where events come from and answers go.
        lago: where events go.
        store: which event store Lago has.
        periods: tells which events come too late for their billing period, and what to do with those.
        readback: asks what Lago holds.
        visible_after: how long after a request began Lago shows what it stored.
        repeatable: whether an open attempt may go again at once: a repetition counts once.
        sleep: waits so many seconds; says whether to go on.
        accepted: takes events that Lago has accepted, with why some went more than once; records them in a while.
        progress: told how many events were answered, each time.
        size: of batches.
        evidence: what tells poison from an outage.
    """

    outbox: Outbox
    lago: Lago
    store: Store
    periods: Periods
    readback: Readback
    visible_after: timedelta
    repeatable: bool
    sleep: Callable[[float], bool]
    accepted: Callable[[Sequence[Event], Failures], None]
    progress: Callable[[int], None]
    size: BatchSize
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class Suspect:
    """An event that failed alone.

    Attributes:
        event: which.
        answer: how.
        failed_at: when, by the monotonic clock.
        tries: how often it went again since.
    """

    event: Event
    answer: Unknown | Malformed
    failed_at: float
    tries: int = 0


class Sending:
    """A batch that one sender has claimed."""

    def __init__(self, means: Means, events: list[Event], *, careful: bool = False) -> None:
        """Send nothing yet; if `careful`, a first failure is enough for Lago to count as away."""
        self._means = means
        self._tries, self._in_vain = (1, 1) if careful else (TRIES, IN_VAIN)
        self._groups: deque[list[Event]] = deque([events])
        self._tried = 0  # the group in front, in this claim
        self._suspects: deque[Suspect] = deque()
        self._open: list[Event] = []
        self._suspected: dict[str, int] = {}
        self._sent: set[str] = set()
        self._failures: dict[str, str] = {}
        self._leased_at = min((event.leased_at for event in events), default=0.0)
        self._failed_at: float | None = None
        self._silent = 0
        self.delivered = Delivered()

    def run(self) -> None:
        """Send until every event has its answer, or is open and has to wait.

        Raises:
            LagoError: Lago is away or refuses us.
            EndedError: the senders end.
        """
        self._keep_claim()
        self._quarantine_unsendable()
        self._hold_closed()
        if not self._means.repeatable:
            self._read_back()
        self._divide()
        self._drain()
        self._judge()
        if self._open and not self._works() and self._means.evidence.in_vain >= self._in_vain:
            raise LagoAwayError(self._means.lago.away(self._means.evidence.said))

    def give_back(self) -> None:
        """Give back what has no answer."""
        left = self._events() + [suspect.event for suspect in self._suspects] + self._open
        self._means.outbox.release(left, sent=frozenset(self._sent), failures=self._failures, suspected=self._suspected)

    # -- before anything is sent

    def _quarantine_unsendable(self) -> None:
        """Quarantine what Lago is known to choke on, unless a person has said that it goes all the same."""
        for event in self._events():
            if not event.decided and (reason := unsendable(event, self._means.store)):
                self._quarantine([event], f"not sent: {reason}")

    def _hold_closed(self) -> None:
        """Hold or move what comes too late for its billing period, as the settings say."""
        periods, began = self._means.periods, self._closed()
        late = [event for event in self._events() if event.transaction_id in began]
        there = self._may_be_there(late)
        self._keep_claim()
        for event in self._events():
            moment = began.get(event.transaction_id)
            if moment is None or event.transaction_id in there:
                continue
            if periods.rule == "move":
                self._replace(event, self._means.outbox.move(event, f"{moment.timestamp():.3f}"))
            else:
                said = f"its billing period was closed: the present one began {moment:%Y-%m-%d %H:%M} UTC"
                self._settle([event], "held", said, held_for="closed period")
                self.delivered.held += 1

    def _closed(self) -> dict[str, datetime]:
        """When the present billing period of each event began that comes too late for its own, by its id.

        An event whose subscription Lago can't be asked about, though it can about others, rests.
        """
        began: dict[str, datetime] = {}
        failed: set[str] = set()
        told = 0
        late = [event for event in self._events() if self._means.periods.may_be_late(event)]
        for event in late:
            self._go_on()
            self._keep_claim()
            try:
                moment = self._means.periods.closed_before(event)
            except LagoAwayError as error:
                failed.add(event.transaction_id)
                self._failures[event.transaction_id] = str(error)
                if not told and len(failed) == min(IN_VAIN, len(late)):
                    raise
            else:
                told += 1
                if moment is not None:
                    began[event.transaction_id] = moment
        for event in [each for each in self._events() if each.transaction_id in failed]:
            self._rest(event, event.suspected + 1)
            self._drop([event])
        return began

    def _may_be_there(self, events: Sequence[Event]) -> set[str]:
        """Of what was sent before, in time and without an answer, what may be in Lago: only Lago knows."""
        there, asked = set(), []
        for event in events:
            if event.open_since is None:
                continue
            if self._means.store != "postgres" and event.claimed_at - event.open_since < self._means.visible_after:
                # It may not be visible yet; the same bytes count once, with another timestamp they would not.
                there.add(event.transaction_id)
            else:
                asked.append(event)
        for event, (verdict, _) in zip(asked, self._means.readback.verdicts(asked), strict=True):
            if verdict != "missing":
                there.add(event.transaction_id)
        return there

    def _read_back(self) -> None:
        """Ask what became of open attempts; what is not there goes again."""
        self._go_on()
        waiting = [event for event in self._events() if event.open_since is not None]
        for event, (verdict, held) in zip(waiting, self._means.readback.verdicts(waiting), strict=True):
            if verdict == "equal":
                self._accept([event])
            elif verdict == "conflict":
                self._conflict(event, held)

    def _divide(self) -> None:
        """What went twice without an answer goes in smaller batches each time, and suspects go alone.

        They go first: what is behind them may show that Lago works.
        """
        sizes = defaultdict(list)
        for event in self._events():
            sizes[1 if event.suspected else max(1, BATCH >> max(0, event.attempts - 2))].append(event)
        pieces = (_pieces(events, size) for size, events in sorted(sizes.items()))
        self._groups = deque(chain.from_iterable(pieces))

    # -- on the way

    def _drain(self) -> None:
        """Send the groups; before the last of them, suspects go again: it shows whether Lago works after that."""
        while self._groups:
            if len(self._groups) == 1:
                self._try_suspects()
            if answer := self._post():
                self._take(answer)
            if not self._groups:
                self._try_suspects()

    def _post(self, *, alone: Event | None = None) -> Answer | None:
        """Send the group in front, which is a suspect if one is `alone`; None if its claim had ended and is another's.

        It counts as sent from before the request on, unless the answer says that it is not.
        """
        with self._means.lago.slot(self._means.sleep):
            self._go_on()
            self._keep_claim()
            if not self._groups or (alone and alone.transaction_id != self._groups[0][0].transaction_id):
                return None
            group = self._groups[0]
            ids = [event.transaction_id for event in group]
            newly = set(ids) - self._sent
            self._sent |= newly
            began = time.monotonic()
            answer = self._means.lago.post(ids, [event.payload for event in group])
        if isinstance(answer, Refused) and not answer.lagos:
            answer = Unknown(answer.said, "failing")  # a gateway's, which may dislike one event
        if not isinstance(answer, Accepted | Unknown) or (isinstance(answer, Unknown) and answer.kind == "away"):
            self._sent -= newly
        if isinstance(answer, Accepted):
            self._means.evidence.taken(began, again=bool(self._tried))
        elif isinstance(answer, Unknown | Malformed):
            self._failed_at = self._failed_at or time.monotonic()
            self._again(group, answer.said)
            self._tried += 1
            self._means.evidence.failed(began, answer.said)
        return answer

    def _take(self, answer: Answer) -> None:
        group = self._groups[0]
        match answer:
            case Accepted():
                self._means.size.took(len(group))
                self._accept(group)
            case Rejected(faults):
                self._reject(group, faults)
            case TooMany() if len(group) > 1:
                self._means.size.too_many(len(group))
                self._again(group, "422 too_many_events")
                self._cut(self._means.size.size)
            case TooMany():
                raise LagoError(self._means.lago.refuses("it takes no event in a batch (LAGO_EVENTS_BATCH_MAX_LENGTH)"))
            case Malformed() if len(group) > 1:
                self._cut((len(group) + 1) // 2)
            case Malformed():
                self._suspect(answer)
            case Throttled(seconds):
                self._again(group, "429, it asks to wait")
                self._pause(seconds)
            case Refused(said):
                raise LagoError(self._means.lago.refuses(said))
            case Unknown():
                self._doubt(answer)

    def _doubt(self, answer: Unknown) -> None:
        """Nobody knows whether the group was stored: look for an event that Lago chokes on, unless Lago is away."""
        group = self._groups[0]
        if answer.kind != "away" and not self._means.repeatable:
            if len(group) == 1:
                self._suspect(answer)
            else:
                self._open += self._next()
            return
        whole = len(self._groups) == 1 and len(group) > 1
        if self._tried < (self._tries if whole or answer.kind == "away" else 1):
            self._pause(0.2 * 3 ** (self._tried - 1))
            return
        if answer.kind == "away":
            raise self._fails(answer)
        if answer.kind == "silent" and not self._works():
            self._silent += 1
            if len(self._groups) == 1 or self._silent == IN_VAIN:
                raise self._fails(answer)
            self._last()
        elif len(group) > 1:
            self._cut((len(group) + 1) // 2)
        else:
            self._suspect(answer)

    def _suspect(self, answer: Unknown | Malformed) -> None:
        """An event fails alone. What is behind goes next, to show whether Lago works; a last group is kept back."""
        [event] = self._next()
        self._suspects.append(Suspect(event, answer, time.monotonic()))
        if not event.suspected and len(self._groups) > 2:
            self._groups.rotate()
        new = [suspect for suspect in self._suspects if not suspect.event.suspected][-IN_VAIN:]
        if self._groups and len(new) == IN_VAIN and not self._means.evidence.taken_since(new[0].failed_at):
            # Lago may have begun to fail on all.
            if not self._works() and self._means.evidence.away:
                raise self._fails(answer)
            self._open += self._events()
            self._groups.clear()

    def _try_suspects(self) -> None:
        """Send each new suspect again, alone, until it has an answer or has failed often enough."""
        for _ in range(len(self._suspects)):
            if not self._suspects:  # their claims had ended
                return
            suspect = self._suspects.popleft()
            tries = 0 if suspect.tries else self._tries_alone(suspect.answer)
            still = self._try_again(suspect, tries) if tries else suspect
            if still:
                self._suspects.append(still)

    def _try_again(self, suspect: Suspect, tries: int) -> Suspect | None:
        """Send a suspect so often, alone; None if it has an answer now, or if its claim had ended."""
        self._groups.appendleft([suspect.event])
        for tried in range(tries):
            self._tried = 1
            self._pause(0.2 * 3**tried)
            answer = self._post(alone=suspect.event)
            if not isinstance(answer, Unknown | Malformed) or answer.kind == "away":
                if answer:
                    self._take(answer)
                return None
            suspect = Suspect(suspect.event, answer, time.monotonic(), suspect.tries + 1)
        [event] = self._next()
        return replace(suspect, event=event)

    def _tries_alone(self, answer: Unknown | Malformed) -> int:
        """How often a suspect goes again: often, if that is going to prove something, or if nothing works so far."""
        if isinstance(answer, Unknown) and not self._means.repeatable:
            return 0
        proves = answer.kind == "failing" and self._groups
        return TRIES if answer.kind in ("failing", "passing") and (proves or not self._works()) else 1

    def _judge(self) -> None:
        """What Lago chokes on while it takes other events is poison; without that proof it stays planned."""
        self._suspects = deque(sorted(self._suspects, key=self._proof, reverse=True))
        while self._suspects:
            proof = self._proof(self._suspects[0])
            again = self._means.repeatable or isinstance(self._suspects[0].answer, Malformed)
            if again and not proof and self._means.evidence.away:
                raise self._fails(self._suspects[0].answer)
            suspect = self._suspects.popleft()
            if again and proof:  # it has to fail after Lago took others, too
                still = self._try_again(suspect, 1)
                if not still:
                    self._drain()
                    continue
                suspect = still
            suspected = suspect.event.suspected + proof
            if suspected >= ENOUGH[suspect.answer.kind]:
                self._quarantine([suspect.event], f"{suspect.answer.said} each time, while Lago takes other events")
            else:
                self._rest(suspect.event, suspected)

    def _rest(self, event: Event, suspected: int) -> None:
        """Give an event back that failed alone so often; it rests if that is more than before."""
        self._open.append(event)
        if suspected > event.suspected:
            self._suspected[event.transaction_id] = suspected

    def _proof(self, suspect: Suspect) -> int:
        """How many suspicions it makes that this event has failed; 0 if Lago seems to fail on all.

        Strong proof is that Lago took a request that began after the event had failed for the last time. That it took
        one after the batch with the event in it had failed is weaker: it may have begun to fail since.
        """
        if self._means.evidence.taken_since(suspect.failed_at):
            return self._means.evidence.suspicions(suspect.answer, suspect.tries)
        return int(self._works())

    def _works(self) -> bool:
        """Whether Lago took a request that began after this batch had failed."""
        return self._failed_at is not None and self._means.evidence.taken_since(self._failed_at)

    def _fails(self, answer: Unknown | Malformed) -> LagoError:
        if isinstance(answer, Malformed):
            return LagoError(self._means.lago.refuses(f"whatever it is sent, it answers {answer.said}"))
        return LagoAwayError(self._means.lago.away(answer.said))

    # -- answers

    def _accept(self, events: Sequence[Event]) -> None:
        self._means.accepted(events, self._failures)
        self.delivered.accepted += len(events)
        self._drop(events)

    def _quarantine(self, events: Sequence[Event], said: str, *, conflict: bool = False) -> None:
        self._settle(events, "quarantined", said, conflict=conflict)
        self.delivered.quarantined += len(events)

    def _conflict(self, event: Event, held: str) -> None:
        self._quarantine([event], f"conflict: Lago holds another event under this id: {held}", conflict=True)

    def _settle(
        self,
        events: Sequence[Event],
        state: Literal["quarantined", "held"],
        said: str,
        *,
        conflict: bool = False,
        held_for: str | None = None,
    ) -> None:
        self._means.outbox.settle(
            events, state, said, sent=self._sent, conflict=conflict, held_for=held_for, failures=self._failures
        )
        self._means.progress(len(events))
        self._drop(events)

    def _reject(self, group: Sequence[Event], faults: Mapping[int, Any]) -> None:
        """Take out what Lago names; the rest of the batch was not stored and goes again."""
        self._tried = 0
        duplicates = [group[place] for place, fault in faults.items() if fault == DUPLICATE]
        # A duplicate is a question, not an answer: what does Lago hold under this id?
        verdicts = self._means.readback.verdicts(duplicates, duplicates=True)
        for event, (verdict, held) in zip(duplicates, verdicts, strict=True):
            if verdict == "equal":
                self._accept([event])
            elif verdict == "conflict":
                self._conflict(event, held)
            else:
                said = "422 value_already_exist, yet Lago shows no such event (deleted there?)"
                self._quarantine([event], said)
        for place, fault in faults.items():
            if fault != DUPLICATE:
                self._quarantine([group[place]], f"422 {fault}")
        named = {group[place].transaction_id for place in faults}
        rest = [event for event in group if event.transaction_id not in named]
        self._again(rest, "its batch was refused for another event in it")

    # -- the groups

    def _events(self) -> list[Event]:
        return [event for group in self._groups for event in group]

    def _next(self) -> list[Event]:
        self._tried = 0
        return self._groups.popleft()

    def _last(self) -> None:
        """Put the group in front behind the others, of which the last goes next."""
        group = self._next()
        self._groups.rotate()
        self._groups.append(group)

    def _drop(self, events: Sequence[Event]) -> None:
        """Take events out of the groups; the try of the one in front begins anew if nothing of it is left."""
        ids = {event.transaction_id for event in events}
        front = self._groups[0] if self._groups else []
        if all(event.transaction_id in ids for event in front):
            self._tried = 0
        kept = ([event for event in group if event.transaction_id not in ids] for group in self._groups)
        self._groups = deque(group for group in kept if group)

    def _replace(self, event: Event, by: Event | None) -> None:
        """Put the event as it is now in its place; None if it is no longer ours."""
        if by is None:
            self._drop([event])
        else:
            self._groups = deque([by if each is event else each for each in group] for group in self._groups)

    def _cut(self, size: int) -> None:
        self._groups.extendleft(reversed(_pieces(self._next(), size)))

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

    # -- whether to go on

    def _pause(self, seconds: float) -> None:
        if not self._means.sleep(seconds):
            raise EndedError

    def _go_on(self) -> None:
        self._pause(0)

    def _keep_claim(self) -> None:
        """Renew the claim if it is old; what someone else has claimed since is left to them."""
        if time.monotonic() - self._leased_at < RENEW_SECONDS:
            return
        self._leased_at = time.monotonic()
        claimed = self._events() + [suspect.event for suspect in self._suspects]
        ours = self._means.outbox.renew(claimed)
        renewed = ([ours[id_] for event in group if (id_ := event.transaction_id) in ours] for group in self._groups)
        self._groups = deque(group for group in renewed if group)
        self._suspects = deque(
            replace(suspect, event=ours[id_])
            for suspect in self._suspects
            if (id_ := suspect.event.transaction_id) in ours
        )
        if len(ours) < len(claimed):
            self._tried = 0


def _pieces(events: Sequence[Event], size: int) -> list[list[Event]]:
    return [list(events[at : at + size]) for at in range(0, len(events), size)]
