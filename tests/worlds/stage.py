"""Virtual time: actors that take turns in an order that the seed decides, and that can be killed wherever they wait."""

import contextlib
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from greenlet import getcurrent, greenlet

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When every world begins."""


def moment(seconds: float) -> datetime:
    """A virtual time as the ledger would say it."""
    return EPOCH + timedelta(seconds=seconds)


def seconds(of: datetime) -> float:
    """A time of the ledger's as virtual time."""
    return (of - EPOCH).total_seconds()


class Died(BaseException):
    """The process was killed: nothing that it would still have done happens."""


class Stage:
    """Runs actors, each a greenlet, until all have ended. `now` is the virtual time in seconds."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self._random = random
        self._turns: list[tuple[float, float, greenlet]] = []
        self._main = getcurrent()
        self._killed: set[greenlet] = set()

    def begin(self, work: Callable[[], None], at: float | None = None) -> greenlet:
        """Let an actor begin, now or later."""

        def act() -> None:
            with contextlib.suppress(Died):
                work()

        actor = greenlet(act, parent=self._main)
        self._turn(self.now if at is None else at, actor)
        return actor

    def kill(self, actor: greenlet) -> None:
        """Let an actor die where it waits."""
        if not actor.dead and actor is not getcurrent():
            self._killed.add(actor)
            self._turn(self.now, actor)

    def pause(self, seconds: float) -> None:
        """Let so much time pass for the present actor, and others act meanwhile."""
        at = self.now + max(0.0, seconds)
        if not self._turns or at < self._turns[0][0]:
            self.now = at
            return
        self._turn(at, getcurrent())
        self.park()

    def park(self) -> None:
        """Let the present actor wait until it is woken."""
        self._next().switch()
        if self._killed and getcurrent() in self._killed:
            raise Died

    def wake(self, actor: greenlet) -> None:
        """Let a parked actor go on."""
        self._turn(self.now, actor)

    def run(self) -> None:
        """Let all act until all have ended."""
        while (actor := self._next()) is not self._main:
            actor.switch()  # comes back when an actor has ended, or none has a turn

    def _next(self) -> greenlet:
        """Whose turn it is, at its time; where nobody has one, `run` ends."""
        while self._turns:
            at, _, actor = heapq.heappop(self._turns)
            if not actor.dead:
                self.now = at
                return actor
        return self._main

    def _turn(self, at: float, actor: greenlet) -> None:
        heapq.heappush(self._turns, (at, self._random.random(), actor))
