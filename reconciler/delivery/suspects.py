"""Events that failed alone: poison on which Lago chokes, or only there when Lago failed on everything.

What Lago takes meanwhile tells them apart. So each suspect goes again, alone, and is judged by what Lago took before
and after: with enough suspicions it is quarantined, until then it rests and is planned for a later claim.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.delivery.claim import Claim, Sent
from reconciler.delivery.evidence import ENOUGH, IN_VAIN, TRIES
from reconciler.delivery.means import Means
from reconciler.lago.answers import Malformed, Unknown
from reconciler.ledger.outbox import Event


@dataclass(frozen=True)
class Suspect:
    """An event that failed alone.

    Attributes:
        id: the event's transaction id.
        suspected: how often earlier claims say that it did.
        answer: how it failed.
        failed_at: when, by the monotonic clock.
        tries: how often it went again since.
    """

    id: str
    suspected: int
    answer: Unknown | Malformed
    failed_at: float
    tries: int = 0


class Suspects:
    """One claim's suspects."""

    def __init__(self, means: Means, claim: Claim) -> None:
        """There are none yet."""
        self._means = means
        self._claim = claim
        self._waiting: dict[str, Suspect] = {}

    def add(self, event: Event, answer: Unknown | Malformed) -> None:
        """The event has failed alone, just now."""
        id_ = event.transaction_id
        self._waiting[id_] = Suspect(id_, event.suspected, answer, time.monotonic())

    @property
    def nothing_works(self) -> bool:
        """Whether Lago has taken nothing since the first of several failed that were never suspected before."""
        self._forget_lost()
        new = [suspect for suspect in self._waiting.values() if not suspect.suspected][-IN_VAIN:]
        return len(new) == IN_VAIN and not self._means.evidence.taken_since(new[0].failed_at)

    def try_new(self, *, more_to_come: bool) -> Iterator[Sent]:
        """Send each that has not gone again since it failed, alone, until it has failed often enough.

        Args:
            more_to_come: whether other events go after them, which may prove something.

        Yields:
            Those to which Lago answered something else, each with that answer. They are no suspects any more, until
            they are added again.
        """
        for suspect in [suspect for suspect in self._waiting.values() if not suspect.tries]:
            if sent := self._try(suspect, self._tries_due(suspect, more_to_come=more_to_come)):
                yield sent

    def judge(self) -> Iterator[Sent]:
        """What Lago chokes on while it takes other events is poison; without that proof it stays planned.

        Yields:
            As `try_new`; before it goes on, others may be added and tried.

        Raises:
            LagoError: Lago seems to fail on all.
        """
        self._waiting = dict(sorted(self._waiting.items(), key=lambda each: self._proof(each[1]), reverse=True))
        while self._forget_lost():
            suspect = next(iter(self._waiting.values()))
            proof = self._proof(suspect)
            again = self._means.may_repeat(suspect.answer)
            if again and not proof and self._means.evidence.away:
                raise self._means.error(suspect.answer)
            if again and proof:  # it has to fail after Lago took others, too
                if sent := self._try(suspect, 1):
                    yield sent
                    continue
                if suspect.id not in self._waiting:
                    continue
                suspect = self._waiting[suspect.id]
            del self._waiting[suspect.id]
            self._sentence(suspect, suspect.suspected + proof)

    def _sentence(self, suspect: Suspect, suspected: int) -> None:
        [event] = self._claim.of([suspect.id])
        if suspected >= ENOUGH[suspect.answer.kind]:
            said = f"{suspect.answer.said} each time, while Lago takes other events"
            self._claim.quarantine(event, said)
        else:
            self._claim.rest(event, suspected)

    def _forget_lost(self) -> bool:
        """Forget those that are someone else's by now; say whether any are left."""
        self._waiting = {id_: suspect for id_, suspect in self._waiting.items() if self._claim.of([id_])}
        return bool(self._waiting)

    def _try(self, suspect: Suspect, tries: int) -> Sent | None:
        """Send a suspect so often, alone, until Lago answers something else.

        Returns:
            None if it is still a suspect, or someone else's.
        """
        for failed in range(1, tries + 1):
            self._claim.back_off(failed)
            sent = self._claim.post([suspect.id], again=True)
            answer = sent[1] if sent else None
            if not isinstance(answer, Unknown | Malformed) or answer.kind == "away":
                del self._waiting[suspect.id]
                return sent
            suspect = replace(suspect, answer=answer, failed_at=time.monotonic(), tries=suspect.tries + 1)
            self._waiting[suspect.id] = suspect
        return None

    def _tries_due(self, suspect: Suspect, *, more_to_come: bool) -> int:
        """How often it goes again: often, if that is going to prove something, or if nothing works so far."""
        if not self._means.may_repeat(suspect.answer):
            return 0
        kind = suspect.answer.kind
        proves = kind == "failing" and more_to_come
        return TRIES if kind in ("failing", "passing") and (proves or not self._claim.lago_works) else 1

    def _proof(self, suspect: Suspect) -> int:
        """How many suspicions it makes that this event has failed; 0 if Lago seems to fail on all.

        Strong proof is that Lago took a request that began after the event had failed for the last time. That it took
        one after the batch with the event in it had failed is weaker: it may have begun to fail since.
        """
        if self._means.evidence.taken_since(suspect.failed_at):
            return self._means.evidence.suspicions(suspect.answer, suspect.tries)
        return int(self._claim.lago_works)
