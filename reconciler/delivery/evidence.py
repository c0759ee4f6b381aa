"""What the senders see of Lago together: what tells an event that Lago chokes on from a Lago that fails.

An event that fails may be poison, or Lago is away, or has a bad minute. Only what Lago takes meanwhile tells them
apart, and a Lago that fails at random needs more of it than one that never does.
"""

import threading
import time

from reconciler.lago.answers import Malformed, Unknown

IN_VAIN = 3
"""How often in a row Lago may fail with nothing taken between, until it counts as away."""

LONG_IN_VAIN = 15
"""The same for a Lago that has taken something in this delivery: it may be one batch on which it chokes."""

TRIES = 3
"""How often what failed goes again in one claim, before anything follows from it."""

ENOUGH = {"refused": 3, "failing": 3, "passing": 10, "silent": 10}
"""How many suspicions make an event poison, by how it fails: a gateway's 503 is seldom about one event."""


class Evidence:
    """Shared by all senders of a delivery. Moments are the monotonic clock's, in seconds."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._lock = threading.Lock()
        self._taken_at = self._failed_at = -1.0
        self.in_vain = 0
        """How often in a row Lago has failed; requests that were on their way together count once."""
        self.said = ""
        """What was seen at the last failure."""
        self.flaky = False
        """Whether Lago took, unchanged, what it had failed on before."""

    def taken(self, began: float, *, again: bool) -> None:
        """Lago took a request that began then; `again`, after it had failed on the same one."""
        with self._lock:
            self._taken_at = max(self._taken_at, began)
            self.in_vain = 0
            self.flaky = self.flaky or again

    def failed(self, began: float, said: str) -> None:
        """Nobody knows what became of a request that began then."""
        with self._lock:
            self.said = said
            if began > max(self._failed_at, self._taken_at):
                self._failed_at = time.monotonic()
                self.in_vain += 1

    def taken_since(self, moment: float) -> bool:
        """Whether Lago took a request that began after that moment; earlier ones prove nothing."""
        return self._taken_at > moment

    @property
    def away(self) -> bool:
        """Whether Lago seems to fail on all: it has taken nothing yet, or nothing for long."""
        return self._taken_at < 0 or self.in_vain >= LONG_IN_VAIN

    def suspicions(self, answer: Unknown | Malformed, tries: int) -> int:
        """How many suspicions it makes that an event failed so often, alone, while Lago took others.

        One for a sender's claim; one for each try if nothing else explains it; Lago's own refusal is enough at once.
        """
        if isinstance(answer, Malformed):
            return ENOUGH[answer.kind]
        return max(1, tries) if answer.kind == "failing" and not self.flaky else 1
