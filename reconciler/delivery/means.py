"""What all senders of one delivery share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from reconciler.delivery.batch_size import BatchSize
from reconciler.delivery.evidence import Evidence
from reconciler.delivery.periods import Periods
from reconciler.lago.answers import Answer, Malformed, Unknown, not_stored
from reconciler.lago.client import Lago, Store
from reconciler.lago.readback import Readback
from reconciler.ledger.outbox import Event, Failures, Outbox
from reconciler.model.errors import LagoAwayError, LagoError


@dataclass
class Means:
    """What a sender works with.

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

    def may_repeat(self, answer: Answer) -> bool:
        """Whether what was answered so may go again at once: it was not stored, or a repetition counts once."""
        return self.repeatable or not_stored(answer)

    def error(self, answer: Unknown | Malformed) -> LagoError:
        """The error that it is if Lago answers so whatever it is sent."""
        if isinstance(answer, Malformed):
            return LagoError(self.lago.refuses(f"whatever it is sent, it answers {answer.said}"))
        return LagoAwayError(self.lago.away(answer.said))
