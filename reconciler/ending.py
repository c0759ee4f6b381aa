"""When a pass is to end: at its deadline, or as soon as it is told to."""

import threading
import time


class Ending:
    """The end of a pass, which all that wait and ask look at."""

    def __init__(self, stopping: threading.Event | None = None, *, seconds: float = float("inf")) -> None:
        """Let the time run from here on.

        Args:
            stopping: set from outside when the pass is to end.
            seconds: after which it is to end as well.
        """
        self._stopping = stopping or threading.Event()
        self._deadline = time.monotonic() + seconds

    @property
    def has_come(self) -> bool:
        """Whether it is time to end."""
        return self._stopping.is_set() or time.monotonic() > self._deadline

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it is time to end."""
        self._stopping.wait(max(0.0, min(seconds, self._deadline - time.monotonic())))
