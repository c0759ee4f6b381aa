"""Lago's clock: the real one, or one that a test has moved and that runs on from there."""

import time


class Clock:
    """Tells the time in microseconds since 1970."""

    def __init__(self) -> None:
        self._ahead = 0

    @property
    def moved(self) -> bool:
        """Whether it shows another time than the real one."""
        return self._ahead != 0

    def now(self) -> int:
        """Return Lago's time."""
        return time.time_ns() // 1000 + self._ahead

    def set(self, instant: int) -> None:
        """Move it to an instant, from which it runs on."""
        self._ahead += instant - self.now()

    def advance(self, microseconds: int) -> None:
        """Move it on, or back if negative."""
        self._ahead += microseconds

    def reset(self) -> None:
        """Go back to the real time."""
        self._ahead = 0
