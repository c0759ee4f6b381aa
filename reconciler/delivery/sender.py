"""A sender: take a batch, post it, decide, record. It remembers nothing: the ledger does.

Any number of senders may work at once, on any number of machines. What one dies with, the next take finds.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
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
    Taken,
    decide,
)
from reconciler.lago.answers import DUPLICATE, Refused, TooLarge, Unknown, not_stored
from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.lago.readback import Readback
from reconciler.ledger.batches import Batch, Others, Part, together
from reconciler.ledger.outbox import Outbox
from reconciler.model.errors import EndedError, LagoAwayError, LagoError
from reconciler.report.figures import Delivered

IN_VAIN = 3
"""So many batches failing with none accepted between mean that Lago is away."""

FRUITLESS = 10
"""So often in a row a sender tries what is refused, or fails alone, while Lago takes nothing."""

GONE = "422 value_already_exist, yet Lago shows no such event (deleted there?)"

MISSING = "Lago shows nothing of an earlier try"

log = structlog.get_logger("reconciler")


class Sender:
    """Sends one meter's batches, one after the other."""

    def __init__(
        self,
        outbox: Outbox,
        lago: Lago,
        *,
        repeatable: bool,
        fresh_since: datetime,
        ending: Ending,
        progress: Callable[[int], None],
        careful: bool = False,
    ) -> None:
        """Take nothing yet.

        Args:
            outbox: where batches come from and answers go.
            lago: where they go.
            repeatable: whether an attempt without an answer may go again at once, as Lago counts a repetition once.
                Else Lago is asked first, some time later, what became of it.
            fresh_since: windows from here on get every other turn, so that no backlog starves them.
            ending: when to end after the present request; the rest is for the next pass.
            progress: told how many events were answered, each time.
            careful: whether the first failure is enough for Lago to count as away: it was until now.
        """
        self._outbox = outbox
        self._lago = lago
        self._readback = Readback(lago)
        self._repeatable = repeatable
        self._fresh_since = fresh_since
        self._ending = ending
        self._progress = progress
        self._in_vain = 1 if careful else IN_VAIN
        self._fruitless = 0
        self.delivered = Delivered()
        """What has become of events so far."""
        self.failed: str | None = None
        """What was seen when a batch last failed that had not failed so before, if one did."""

    def run(self, most: int | None = None) -> None:
        """Send until nothing is due, the time is up, or so many batches are sent.

        Raises:
            LagoError: Lago is away or refuses us; what was not answered stays planned.
            LedgerError: the ledger can't be read or written; what was sent stays open.
        """
        try:
            turns = itertools.cycle((False, True))
            while (most is None or most > 0) and self._send_next(fresh=next(turns)):
                most = most and most - 1
        except EndedError:
            return

    def _send_next(self, *, fresh: bool) -> bool:
        """Send one batch, or wait for the next one; say whether to go on."""
        self._lago.wait()
        if self._ending.has_come:
            return False
        batch = self._outbox.take(self._fresh_since if fresh else None)
        if batch is not None:
            self._send(batch)
            return True
        due_in = self._outbox.due_in()
        if due_in is None or due_in > self._outbox.limits.patience:
            return False
        self._ending.sleep(due_in + 0.01)
        return True

    def _send(self, batch: Batch) -> None:
        if batch.opened_before is not None and not self._repeatable:
            self._ask(batch)
            return
        answer = self._lago.post(batch.ids, batch.body)
        rest = timedelta(seconds=self._outbox.limits.rest)
        judged = len(batch.ids) == 1 and isinstance(answer, Refused | TooLarge | Unknown)
        others = self._outbox.others(batch) if judged else Others()
        taken = Taken(
            len(batch.ids), batch.failures, batch.proof, others.works, others.fails, others.flaps, shortest_rest=rest
        )
        self._record(batch, decide(answer, taken), stored=not not_stored(answer), said=getattr(answer, "said", None))

    def _record(self, batch: Batch, decision: Decision, *, stored: bool, said: str | None) -> None:
        """Do what was decided, in one statement."""
        match decision:
            case Accept():
                self._fruitless = 0
                if self._outbox.accept(batch):
                    self._count(accepted=len(batch.ids))
            case Sort(faults):
                self._sort(batch, faults)
            case Halve():
                self._go_again(batch, said or "it goes again in halves")
                places, middle = range(len(batch.ids)), (len(batch.ids) + 1) // 2
                halves = places[:middle], places[middle:]
                self._outbox.split(batch, [Part(half, "planned", failure=said, open=stored) for half in halves])
                if said:
                    self._tire(LagoAwayError(self._lago.away(said)))
            case Quarantine(words):
                part = Part(range(len(batch.ids)), "quarantined", answer=words, open=stored)
                if self._outbox.split(batch, [part]):
                    self._count(quarantined=len(batch.ids))
            case GiveBack(words):
                self._go_again(batch, words)
                self._outbox.give_back(batch, words)
            case Stop(words, away):
                self._outbox.give_back(batch, words)
                raise LagoAwayError(self._lago.away(words)) if away else LagoError(self._lago.refuses(words))
            case GoAgain(words, rest, proof):
                self._go_again(batch, words)
                others = self._outbox.give_back(batch, words, stored=stored, failed=True, proof=proof, rest=rest)
                self._fail(batch, words, others, fruitless=proof <= batch.proof)

    def _fail(self, batch: Batch, words: str, others: int, *, fruitless: bool) -> None:
        """A batch has failed in vain. One that fails alone again and again tells nothing of Lago.

        While Lago takes nothing else, such a failure proves nothing either: after an outage many batches are of that
        kind, and to try them all in every pass would only be in Lago's way.
        """
        if batch.failures >= self._outbox.tries:
            if fruitless:
                self._tire(EndedError())
            else:
                self._fruitless = 0
            return
        self.failed = words
        if others + 1 >= self._in_vain:
            raise LagoAwayError(self._lago.away(words))

    def _tire(self, error: Exception) -> None:
        """One more try was fruitless; after many in a row the rest is for the next pass."""
        self._fruitless += 1
        if self._fruitless >= FRUITLESS:
            raise error

    def _sort(self, batch: Batch, faults: dict[int, Any]) -> None:
        """Let the events that Lago names go their own ways; the rest was not stored and goes again."""
        # A duplicate is a question, not an answer: what does Lago hold under this id?
        duplicates = [place for place, fault in faults.items() if fault == DUPLICATE]
        fates = dict(zip(duplicates, self._fates(batch, duplicates, duplicates=True), strict=True))
        words = "its batch was refused for another event in it"
        for place in range(len(batch.ids)):
            if place not in faults:
                fates[place] = Part((), "planned", failure=words)
            elif place not in fates:
                fates[place] = Part((), "quarantined", answer=f"422 {faults[place]}")
        if len(faults) < len(batch.ids):
            self._go_again(batch, words)
        self._part(batch, fates)

    def _ask(self, batch: Batch) -> None:
        """Ask what became of an open attempt; what is not there goes again."""
        fates = dict(enumerate(self._fates(batch, range(len(batch.ids)), duplicates=False)))
        if set(fates.values()) == {Part((), "planned")}:  # it stays as it is, and so does how often it has failed
            self._go_again(batch, MISSING)
            self._outbox.give_back(batch, MISSING, asked=True)
            return
        self._part(batch, fates, asked=True)

    def _fates(self, batch: Batch, places: Sequence[int], *, duplicates: bool) -> list[Part]:
        """What Lago holds of these events, and so what becomes of each."""
        try:
            verdicts = self._readback.verdicts(
                [batch.payloads[place] for place in places], self._keep_going, duplicates=duplicates
            )
        except (LagoError, EndedError):
            if duplicates:
                self._go_again(batch, "Lago was not asked to the end what it holds of its duplicates")
            self._outbox.give_back(batch, None)
            raise
        missing = Part((), "quarantined", answer=GONE) if duplicates else Part((), "planned")
        fates = []
        for verdict, held in verdicts:
            if verdict == "equal":
                fates.append(Part((), "accepted"))
            elif verdict == "conflict":
                answer = f"conflict: Lago holds another event under this id: {held}"
                fates.append(Part((), "quarantined", conflict=True, answer=answer))
            else:
                fates.append(missing)
        return fates

    def _part(self, batch: Batch, fates: Mapping[int, Part], *, asked: bool = False) -> None:
        """Let the events at these places go their ways, those of one fate in one batch."""
        parts = together(fates)
        if self._outbox.split(batch, parts, asked=asked):
            self._count(
                accepted=sum(len(part.places) for part in parts if part.state == "accepted"),
                quarantined=sum(len(part.places) for part in parts if part.state == "quarantined"),
            )

    def _keep_going(self) -> None:
        if self._ending.has_come:
            raise EndedError

    def _go_again(self, batch: Batch, reason: str) -> None:
        log.info(
            "events go again",
            meter=self._outbox.meter,
            events=len(batch.ids),
            first=batch.ids[0],
            reason=reason,
        )

    def _count(self, *, accepted: int = 0, quarantined: int = 0) -> None:
        self.delivered.add(Delivered(accepted, quarantined))
        self._progress(accepted + quarantined)


def send_all(senders: Sequence[Sender], ending: Ending) -> None:
    """Let senders work side by side until all have ended.

    Raises:
        LagoError: Lago is away or refuses us; the others have ended after their present request.
        LedgerError: the ledger can't be read or written.
    """
    with ThreadPoolExecutor(len(senders), thread_name_prefix="sender") as pool:
        try:
            work = [pool.submit(sender.run) for sender in senders]
            wait(work, return_when=FIRST_EXCEPTION)
        finally:  # one has failed, or Ctrl-C: what is on the wire still gets its answer recorded
            ending.cut()
    for each in work:
        each.result()
