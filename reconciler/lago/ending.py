"""When sending is to end: when its time is up, or as soon as the pass is told to stop."""

import threading
import time


class Ending:
    """The end of sending, which all that wait and ask look at."""

    def __init__(self, stopping: threading.Event | None = None) -> None:
        """There is no end before `stopping` is set from outside, or a time begins and is up."""
        self._stopping = stopping or threading.Event()
        self._deadline = float("inf")

    def begin(self, seconds: float) -> None:
        """Let a time run, in place of the one before."""
        self._deadline = time.monotonic() + seconds

    def cut(self) -> None:
        """Let the present time be up."""
        self._deadline = float("-inf")

    @property
    def has_come(self) -> bool:
        """Whether it is time to end."""
        return self._stopping.is_set() or time.monotonic() > self._deadline

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it is time to end."""
        self._stopping.wait(max(0.0, min(seconds, self._deadline - time.monotonic())))
