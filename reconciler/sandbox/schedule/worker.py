"""Lago's worker: it does what follows from events, and what its clock asks for, in the order in which it is asked.

On a real Lago each event costs its worker 18 to 48 ms of processor time, and billing waits in the same queue. Here
the work takes no time unless a test says so; then it goes by Lago's clock.
"""

from bisect import bisect_right


class Worker:
    """A queue of which only the length is known.

    Attributes:
        cost: how long one event takes, in microseconds.
    """

    def __init__(self) -> None:
        self.cost = 0
        self._came: list[int] = []
        self._done: list[int] = []

    def clear(self) -> None:
        """Forget the queue; the work takes no time."""
        self.cost = 0
        self._came.clear()
        self._done.clear()

    def take(self, now: int) -> int:
        """Queue the work that follows from an event; return the instant at which it is done."""
        done = self.done_at(now) + self.cost
        if self.cost:
            self._came.append(now)
            self._done.append(done)
        return done

    def done_at(self, asked: int) -> int:
        """Return when the worker gets to what it was asked at an instant: behind all that came before that."""
        place = bisect_right(self._came, asked)
        return max(asked, self._done[place - 1]) if place else asked
