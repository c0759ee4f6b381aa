"""A sender: take a batch, post it, decide, record. It remembers nothing: the ledger does.

Any number of senders may work at once, on any number of machines. What one dies with, the next take finds.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import structlog

from reconciler.delivery.decision import (
    Accept,
    Decision,
    GiveBack,
    GoAgain,
    Halve,
    Quarantine,
    Sort,
    Stop,
    Try,
    decide,
)
from reconciler.delivery.foreign import MetAnotherError
from reconciler.lago.answers import DUPLICATE, Refused, Unknown, not_stored
from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.lago.readback import Kind, Readback
from reconciler.lago.shown import is_of
from reconciler.ledger.batches import Batch, Others, Part, together
from reconciler.ledger.outbox import Outbox
from reconciler.model.errors import EndedError, LagoError
from reconciler.report.figures import Delivered

IN_VAIN = 3
"""So many batches fail with none accepted between until Lago counts as away."""

FRUITLESS = 10
"""So often in a row a sender tries what is refused, or fails alone, while Lago takes nothing."""

GONE = "422 value_already_exist, yet Lago shows no such event (deleted there?)"

MISSING = "Lago shows nothing of an earlier try"

log = structlog.get_logger("reconciler")


@dataclass
class Sender:
    """Sends one meter's batches, one after the other.

    Attributes:
        outbox: where batches come from and answers go.
        lago: where they go.
        repeatable: whether an attempt without an answer may go again at once, as Lago counts a repetition once. Else
            Lago is asked first, some time later, what became of it.
        fresh_since: windows from here on get every other turn, so that no backlog starves them.
        ending: when to end after the present request; the rest is for the next pass.
        progress: told how many events were answered, each time.
        in_vain: so many batches failing with none accepted between mean that Lago is away.
        delivered: what has become of events so far.
        failed: what was seen when a batch last failed that had not failed so before, if one did.
    """

    outbox: Outbox
    lago: Lago
    repeatable: bool
    fresh_since: datetime
    ending: Ending
    progress: Callable[[int], None]
    in_vain: int = IN_VAIN
    delivered: Delivered = field(default_factory=Delivered, init=False)
    failed: str | None = field(default=None, init=False)
    _fruitless: int = field(default=0, init=False)

    @cached_property
    def _readback(self) -> Readback:
        return Readback(self.lago)

    def run(self, most: int | None = None) -> None:
        """Send until nothing is due, the time is up, or so many batches are sent.

        Raises:
            LagoError: Lago is away or refuses us; what was not answered stays planned.
            LedgerError: the ledger can't be read or written; what was sent stays open.
            MetAnotherError: Lago holds events of this meter that its ledger does not know.
        """
        try:
            turns = itertools.cycle((False, True))
            while (most is None or most > 0) and self._send_next(fresh=next(turns)):
                most = most and most - 1
        except EndedError:
            return

    def _send_next(self, *, fresh: bool) -> bool:
        """Send one batch, or wait for the next one; say whether to go on."""
        self.lago.wait()
        if self.ending.has_come:
            return False
        batch = self.outbox.take(self.fresh_since if fresh else None)
        if batch is not None:
            self._send(batch)
            return True
        due_in = self.outbox.due_in()
        if due_in is None or due_in > self.outbox.limits.patience:
            return False
        self.ending.sleep(due_in + 0.01)
        return True

    def _send(self, batch: Batch) -> None:
        if batch.opened_before is not None and not self.repeatable:
            self._ask(batch)
            return
        answer = self.lago.post(batch.ids, batch.body)
        rest = timedelta(seconds=self.outbox.limits.rest)
        judged = len(batch.ids) == 1 and isinstance(answer, Refused | Unknown)
        this = Try(batch, self.outbox.others(batch) if judged else Others(), rest)
        self._record(batch, decide(answer, this), stored=not not_stored(answer))

    def _record(self, batch: Batch, decision: Decision, *, stored: bool) -> None:
        """Do what was decided, in one statement."""
        places = range(len(batch.ids))
        match decision:
            case Accept():
                self._fruitless = 0
                if self.outbox.accept(batch):
                    self._count([Part(places, "accepted")])
            case Sort(faults):
                self._sort(batch, faults)
            case Halve(words):
                self._go_again(batch, words or "it goes again in halves")
                middle = (len(places) + 1) // 2
                halves = places[:middle], places[middle:]
                self._split(batch, [Part(half, "planned", failure=words, open=stored) for half in halves])
                if words:
                    self._tire(self.lago.away(words))
            case Quarantine(words):
                self._split(batch, [Part(places, "quarantined", answer=words, open=stored)])
            case GiveBack(words):
                self._go_again(batch, words)
                self.outbox.give_back(batch, words)
            case Stop(words, away):
                self.outbox.give_back(batch, words)
                raise self.lago.away(words) if away else self.lago.refuses(words)
            case GoAgain(words, rest, proof):
                self._go_again(batch, words)
                others = self.outbox.give_back(batch, words, stored=stored, failed=True, proof=proof, rest=rest)
                self._fail(batch, words, others, fruitless=proof <= batch.proof)

    def _fail(self, batch: Batch, words: str, others: int, *, fruitless: bool) -> None:
        """A batch has failed in vain. One that fails alone again and again tells nothing of Lago.

        While Lago takes nothing else, such a failure proves nothing either: after an outage many batches are of that
        kind, and to try them all in every pass would only be in Lago's way.
        """
        if batch.failures >= self.outbox.tries:
            if fruitless:
                self._tire(EndedError())
            else:
                self._fruitless = 0
            return
        self.failed = words
        if others + 1 >= self.in_vain:
            raise self.lago.away(words)

    def _tire(self, error: Exception) -> None:
        """One more try was fruitless; after many in a row the rest is for the next pass."""
        self._fruitless += 1
        if self._fruitless >= FRUITLESS:
            raise error

    def _sort(self, batch: Batch, faults: Mapping[int, Any]) -> None:
        """Let the events that Lago names go their own ways; the rest was not stored and goes again."""
        words = "its batch was refused for another event in it"
        fates = dict.fromkeys(range(len(batch.ids)), Part((), "planned", failure=words))
        fates |= {place: Part((), "quarantined", answer=f"422 {fault}") for place, fault in faults.items()}
        # A duplicate is a question, not an answer: what does Lago hold under this id?
        duplicates = [place for place, fault in faults.items() if fault == DUPLICATE]
        fates |= self._fates(batch, duplicates, missing=Part((), "quarantined", answer=GONE))
        if len(faults) < len(batch.ids):
            self._go_again(batch, words)
        self._split(batch, together(fates))

    def _ask(self, batch: Batch) -> None:
        """Ask what became of an open attempt; what is not there goes again."""
        missing = Part((), "planned")
        fates = self._fates(batch, range(len(batch.ids)), missing=missing)
        if set(fates.values()) == {missing}:  # it stays as it is, and so does how often it has failed
            self._go_again(batch, MISSING)
            self.outbox.give_back(batch, MISSING, asked=True)
            return
        self._split(batch, together(fates), asked=True)

    def _fates(self, batch: Batch, places: Sequence[int], *, missing: Part) -> dict[int, Part]:
        """What Lago holds of these events, and so what becomes of each; `missing` is what becomes of what it lacks."""
        are_duplicates = missing.state != "planned"
        try:
            payloads = [batch.payloads[place] for place in places]
            verdicts = self._readback.verdicts(payloads, duplicates=are_duplicates)
        except (LagoError, EndedError):
            words = "Lago was not asked to the end what it holds of its duplicates" if are_duplicates else None
            if words:
                self._go_again(batch, words)
            self.outbox.give_back(batch, words)
            raise

        meter = self.outbox.meter
        is_new = are_duplicates and batch.opened_before is None and not batch.decided
        for verdict in verdicts if is_new else ():
            if verdict.kind == "conflict" and is_of(verdict.event, meter):  # the ledger is older than its events
                self._go_again(batch, "Lago holds events of this meter that its ledger does not know")
                self.outbox.give_back(batch, None)
                raise MetAnotherError(verdict.event)

        def fate(kind: Kind, held: str) -> Part:
            if kind == "conflict":
                return Part.in_conflict(held)
            return Part((), "accepted") if kind == "equal" else missing

        return {place: fate(verdict.kind, verdict.held) for place, verdict in zip(places, verdicts, strict=True)}

    def _split(self, batch: Batch, parts: Sequence[Part], *, asked: bool = False) -> None:
        if self.outbox.split(batch, parts, asked=asked):
            self._count(parts)

    def _count(self, parts: Sequence[Part]) -> None:
        accepted, quarantined = (
            sum(len(part.places) for part in parts if part.state == state) for state in ("accepted", "quarantined")
        )
        self.delivered.add(Delivered(accepted, quarantined))
        self.progress(accepted + quarantined)

    def _go_again(self, batch: Batch, reason: str) -> None:
        meter, events = self.outbox.meter, len(batch.ids)
        log.info("events go again", meter=meter, events=events, first=batch.ids[0], reason=reason)


def send_all(senders: Sequence[Sender], ending: Ending) -> None:
    """Let senders work side by side until all have ended.

    Raises:
        LagoError: Lago is away or refuses us; the others have ended after their present request.
        LedgerError: the ledger can't be read or written.
        MetAnotherError: Lago holds events of this meter that its ledger does not know.
    """
    with ThreadPoolExecutor(len(senders), thread_name_prefix="sender") as pool:
        try:
            work = [pool.submit(sender.run) for sender in senders]
            wait(work, return_when=FIRST_EXCEPTION)
        finally:  # one has failed, or Ctrl-C: what is on the wire still gets its answer recorded
            ending.cut()
    for each in work:
        each.result()
