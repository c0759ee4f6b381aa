"""One claimed batch on its way: sent, cut in two where it has to be, until every event has its answer.

A Lago that refuses a repeated event (its Postgres store) or lets the same bytes count once (ClickHouse with
deduplication) gets an open event again at once. Any other is first asked, some time later, whether it has it.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.delivery.claim import Claim
from reconciler.delivery.evidence import IN_VAIN, TRIES
from reconciler.delivery.means import Means
from reconciler.delivery.suspects import Suspects
from reconciler.delivery.vetting import vet
from reconciler.lago.answers import (
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
from reconciler.lago.client import BATCH
from reconciler.ledger.outbox import Event
from reconciler.model.errors import LagoAwayError, LagoError
from reconciler.report.figures import Delivered


@dataclass(frozen=True)
class Group:
    """Events that go in one request.

    Attributes:
        ids: which.
        failed: how often a request with just these has failed by now.
    """

    ids: list[str]
    failed: int = 0


class Sending:
    """A batch that one sender has claimed."""

    def __init__(self, means: Means, events: Sequence[Event], *, careful: bool = False) -> None:
        """Send nothing yet; if `careful`, a first failure is enough for Lago to count as away."""
        self._means = means
        self._tries, self._away_after = (1, 1) if careful else (TRIES, IN_VAIN)
        self._claim = Claim(means, events)
        self._suspects = Suspects(means, self._claim)
        self._groups: deque[Group] = deque()
        self._silent = 0

    @property
    def delivered(self) -> Delivered:
        """What has become of the batch so far."""
        return self._claim.delivered

    def run(self) -> None:
        """Send until every event has its answer, or is open and has to wait.

        Raises:
            LagoError: Lago is away or refuses us.
            EndedError: the senders end.
        """
        vet(self._means, self._claim)
        self._divide()
        self._drain()
        for events, answer in self._suspects.judge():
            self._take_of_suspect(events, answer)
            self._drain()
        evidence = self._means.evidence
        if self._claim.has_left and not self._claim.lago_works and evidence.in_vain >= self._away_after:
            raise LagoAwayError(self._means.lago.away(evidence.said))

    def give_back(self) -> None:
        """Give back what has no answer."""
        self._claim.give_back()

    # -- groups and requests

    def _divide(self) -> None:
        """What went twice without an answer goes in smaller batches each time, and suspects go alone.

        They go first: what is behind them may show that Lago works.
        """
        sizes = defaultdict(list)
        for event in self._claim.events:
            size = 1 if event.suspected else max(1, BATCH >> max(0, event.attempts - 2))
            sizes[size].append(event.transaction_id)
        self._groups = deque(group for size, ids in sorted(sizes.items()) for group in _cut(ids, size))

    def _drain(self) -> None:
        """Send the groups; before the last of them, suspects go again: it shows whether Lago works after that."""
        while self._groups:
            if len(self._groups) == 1:
                self._try_suspects()
            self._send(self._groups.popleft())
            self._groups = deque(group for group in self._groups if self._claim.of(group.ids))
            if not self._groups:
                self._try_suspects()

    def _send(self, group: Group) -> None:
        sent = self._claim.post(group.ids, again=group.failed > 0)
        if sent is None:
            return
        events, answer = sent
        if len(events) < len(group.ids):
            group = Group(_ids(events))
        if isinstance(answer, Unknown | Malformed):
            group = replace(group, failed=group.failed + 1)
        self._take(group, events, answer)

    def _try_suspects(self) -> None:
        for events, answer in self._suspects.try_new(more_to_come=bool(self._groups)):
            self._take_of_suspect(events, answer)

    def _take_of_suspect(self, events: Sequence[Event], answer: Answer) -> None:
        """Lago has answered to an event that had failed alone: it is as any other."""
        self._take(Group(_ids(events), failed=1), events, answer)

    # -- answers

    def _take(self, group: Group, events: Sequence[Event], answer: Answer) -> None:
        """Do what the answer to a group says; what has to go again is in front of the others then."""
        match answer:
            case Accepted():
                self._means.size.took(len(events))
                self._claim.accept(events)
            case Rejected(faults):
                self._reject(events, faults)
            case TooMany() if len(events) > 1:
                self._means.size.too_many(len(events))
                self._claim.go_again(events, "422 too_many_events")
                self._go_next(_cut(group.ids, self._means.size.size))
            case TooMany():
                raise LagoError(self._means.lago.refuses("it takes no event in a batch (LAGO_EVENTS_BATCH_MAX_LENGTH)"))
            case Malformed() if len(events) > 1:
                self._go_next(_halves(group.ids))
            case Malformed():
                self._suspect(events[0], answer)
            case Throttled(seconds):
                self._claim.go_again(events, "429, it asks to wait")
                self._go_next([group])
                self._claim.pause(seconds)
            case Refused(said):
                raise LagoError(self._means.lago.refuses(said))
            case Unknown():
                self._doubt(group, events, answer)

    def _reject(self, events: Sequence[Event], faults: Mapping[int, Any]) -> None:
        """Take out what Lago names; the rest of the batch was not stored and goes again."""
        duplicates = [events[place] for place, fault in faults.items() if fault == DUPLICATE]
        # A duplicate is a question, not an answer: what does Lago hold under this id?
        verdicts = self._means.readback.verdicts(duplicates, self._claim.pause, duplicates=True)
        for event, (verdict, held) in zip(duplicates, verdicts, strict=True):
            if verdict == "equal":
                self._claim.accept([event])
            elif verdict == "conflict":
                self._claim.conflict(event, held)
            else:
                said = "422 value_already_exist, yet Lago shows no such event (deleted there?)"
                self._claim.quarantine(event, said)
        for place, fault in faults.items():
            if fault != DUPLICATE:
                self._claim.quarantine(events[place], f"422 {fault}")
        rest = [event for place, event in enumerate(events) if place not in faults]
        if rest:
            self._claim.go_again(rest, "its batch was refused for another event in it")
            self._go_next([Group(_ids(rest))])

    def _doubt(self, group: Group, events: Sequence[Event], answer: Unknown) -> None:
        """Nobody knows whether the group was stored: look for an event that Lago chokes on, unless Lago is away."""
        if not self._means.may_repeat(answer):
            if len(events) == 1:
                self._suspect(events[0], answer)
            else:
                self._claim.leave(events)
            return
        whole = not self._groups and len(events) > 1
        if group.failed < (self._tries if whole or answer.kind == "away" else 1):
            self._go_next([group])
            self._claim.back_off(group.failed)
        elif answer.kind == "away":
            raise self._means.error(answer)
        elif answer.kind == "silent" and not self._claim.lago_works:
            self._silent += 1
            if not self._groups or self._silent == IN_VAIN:
                raise self._means.error(answer)
            self._groups.rotate()  # the last goes next, this one after all others
            self._groups.append(Group(group.ids))
        elif len(events) > 1:
            self._go_next(_halves(group.ids))
        else:
            self._suspect(events[0], answer)

    def _suspect(self, event: Event, answer: Unknown | Malformed) -> None:
        """An event fails alone. What is behind goes next, to show whether Lago works; a last group is kept back."""
        self._suspects.add(event, answer)
        if not event.suspected and len(self._groups) > 2:
            self._groups.rotate()
        if self._groups and self._suspects.nothing_works:
            # Lago may have begun to fail on all.
            if not self._claim.lago_works and self._means.evidence.away:
                raise self._means.error(answer)
            for group in self._groups:
                self._claim.leave(self._claim.of(group.ids))
            self._groups.clear()

    def _go_next(self, groups: Sequence[Group]) -> None:
        self._groups.extendleft(reversed(groups))


def _ids(events: Sequence[Event]) -> list[str]:
    return [event.transaction_id for event in events]


def _cut(ids: Sequence[str], size: int) -> list[Group]:
    return [Group(list(ids[at : at + size])) for at in range(0, len(ids), size)]


def _halves(ids: Sequence[str]) -> list[Group]:
    return _cut(ids, (len(ids) + 1) // 2)
