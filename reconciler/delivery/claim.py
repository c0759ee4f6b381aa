"""The events that one sender has claimed, each until it has its answer or is given back.

What is given back without one is either certainly not stored, or open: an attempt whose end nobody knows.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Literal

import structlog

from reconciler.delivery.means import Means
from reconciler.lago.answers import Accepted, Answer, Malformed, Refused, Unknown, not_stored
from reconciler.ledger.outbox import RENEW_SECONDS, Event, lease_clock
from reconciler.model.errors import EndedError
from reconciler.report.figures import Delivered

FIRST_PAUSE = 0.2
"""Seconds until what has failed goes again; three times as long each time."""

Sent = tuple[list[Event], Answer]
"""What was sent, in order, and Lago's answer."""

log = structlog.get_logger("reconciler")


class Claim:
    """Claimed events; what someone else has claimed since is no longer among them.

    Whatever waits, `pause` and `post`, may find such: an `Event` is that of the moment, its id is what lasts.
    """

    def __init__(self, means: Means, events: Iterable[Event]) -> None:
        """Take the events; send nothing yet."""
        self._means = means
        self._events = {event.transaction_id: event for event in events}
        self._left: dict[str, Event] = {}
        self._sent: set[str] = set()
        self._failures: dict[str, str] = {}
        self._suspected: dict[str, int] = {}
        self._leased_at = self._oldest_lease()
        self._failed_at: float | None = None
        self.delivered = Delivered()

    @property
    def events(self) -> list[Event]:
        """Those that are still to be sent."""
        return list(self._events.values())

    def of(self, ids: Iterable[str]) -> list[Event]:
        """Those of them that are still to be sent, in this order."""
        return [self._events[id_] for id_ in ids if id_ in self._events]

    @property
    def has_left(self) -> bool:
        """Whether some are left to a later claim."""
        return bool(self._left)

    @property
    def lago_works(self) -> bool:
        """Whether Lago took a request that began after the first one of this claim to fail had failed."""
        return self._failed_at is not None and self._means.evidence.taken_since(self._failed_at)

    # -- on the wire

    def post(self, ids: Sequence[str], *, again: bool) -> Sent | None:
        """Send these events in one request, or those of them that are still ours.

        They count as sent from before the request on, unless the answer says that they were not stored.

        Args:
            ids: which.
            again: whether a request with just these has failed before.

        Returns:
            None if all of them are someone else's by now.

        Raises:
            EndedError: the senders end.
        """
        with self._means.lago.slot(self._sleep):
            self.pause()
            events = self.of(ids)
            if not events:
                return None
            ours = [event.transaction_id for event in events]
            newly = set(ours) - self._sent
            self._sent |= newly
            began = time.monotonic()
            answer = self._means.lago.post(ours, [event.payload for event in events])
        if isinstance(answer, Refused) and not answer.lagos:
            answer = Unknown(answer.said, "failing")  # a gateway's, which may dislike one event
        if not_stored(answer):
            self._sent -= newly
        if isinstance(answer, Accepted):
            self._means.evidence.taken(began, again=again and len(events) == len(ids))
        elif isinstance(answer, Unknown | Malformed):
            self._failed_at = self._failed_at or time.monotonic()
            self._means.evidence.failed(began, answer.said)
            self.go_again(events, answer.said)
        return events, answer

    def note(self, events: Iterable[Event], reason: str) -> None:
        """Keep with events why they have no answer yet."""
        self._failures |= dict.fromkeys((event.transaction_id for event in events), reason)

    def go_again(self, events: Sequence[Event], reason: str) -> None:
        """Say why events go again, of which there is at least one; it is kept with them, too."""
        self.note(events, reason)
        log.warning(
            "events go again",
            meter=self._means.outbox.meter,
            events=len(events),
            first=events[0].transaction_id,
            reason=reason,
        )

    def pause(self, seconds: float = 0.0) -> None:
        """Wait, and keep the claim meanwhile.

        Raises:
            EndedError: the senders end.
        """
        if not self._sleep(seconds):
            raise EndedError

    def back_off(self, failed: int) -> None:
        """Wait before what has failed so often goes again.

        Raises:
            EndedError: the senders end.
        """
        self.pause(FIRST_PAUSE * 3 ** (failed - 1))

    def _sleep(self, seconds: float) -> bool:
        self._renew_if_old()
        while seconds > RENEW_SECONDS and self._means.sleep(RENEW_SECONDS):
            self._renew_if_old()
            seconds -= RENEW_SECONDS
        return self._means.sleep(seconds)

    def _renew_if_old(self) -> None:
        # Asked before every event: looking at all leases each time would take as long as all else.
        if lease_clock() - self._leased_at >= RENEW_SECONDS:
            ours = self._means.outbox.renew(self._unanswered)
            self._events, self._left = (
                {id_: ours[id_] for id_ in events if id_ in ours} for events in (self._events, self._left)
            )
            self._leased_at = self._oldest_lease()

    def _oldest_lease(self) -> float:
        return min((event.leased_at for event in self._unanswered), default=float("inf"))

    # -- what becomes of them

    def accept(self, events: Sequence[Event]) -> None:
        """Lago has them."""
        self._means.accepted(events, self._failures)
        self.delivered.accepted += len(events)
        self._drop(events)

    def quarantine(self, event: Event, said: str, *, conflict: bool = False) -> None:
        """A person has to look at it."""
        self.delivered.quarantined += self._settle(event, "quarantined", said, conflict=conflict)

    def conflict(self, event: Event, held: str) -> None:
        """Lago holds another under its id, so that nothing of its bucket may go."""
        self.quarantine(event, f"conflict: Lago holds another event under this id: {held}", conflict=True)

    def hold(self, event: Event, said: str) -> None:
        """Its billing period is closed."""
        self.delivered.held += self._settle(event, "held", said, held_for="closed period")

    def move(self, event: Event, timestamp: str) -> None:
        """Give it another timestamp, since Lago does not have it yet."""
        if moved := self._means.outbox.move(event, timestamp):
            self._events[event.transaction_id] = moved
        else:
            self._drop([event])

    def leave(self, events: Iterable[Event]) -> None:
        """They wait for a later claim."""
        for event in events:
            self._left[event.transaction_id] = event
            self._drop([event])

    def rest(self, event: Event, suspected: int) -> None:
        """It has failed alone so often by now, and waits for a later claim; for longer, if that is more than before."""
        if suspected > event.suspected:
            self._suspected[event.transaction_id] = suspected
        self.leave([event])

    def give_back(self) -> None:
        """Give back what has no answer."""
        self._means.outbox.release(
            self._unanswered, sent=frozenset(self._sent), failures=self._failures, suspected=self._suspected
        )

    @property
    def _unanswered(self) -> list[Event]:
        return [*self._events.values(), *self._left.values()]

    def _settle(
        self,
        event: Event,
        state: Literal["quarantined", "held"],
        said: str,
        *,
        conflict: bool = False,
        held_for: str | None = None,
    ) -> int:
        ours = self.of([event.transaction_id])
        if not ours:
            return 0
        settled = self._means.outbox.settle(
            ours,
            state,
            said,
            sent=self._sent,
            conflict=conflict,
            held_for=held_for,
            failures=self._failures,
        )
        self._means.progress(settled)
        self._drop([event])
        return settled

    def _drop(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.pop(event.transaction_id, None)
