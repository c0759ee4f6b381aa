"""The progress of a pass: bars on a terminal; in a pipe a backfill says now and then how far it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reconciler.cli import terminal
from reconciler.model.words import count, length, moment
from reconciler.report import progress as told
from reconciler.report.progress import Kind

DELIVERING = "Delivering to Lago"

_KIND = {
    "fresh": "Looking at new windows",
    "probe": "Probing for late rows",
    "deep": "Looking again at everything",
    "backfill": "Backfilling",
}

FIRST_WORD = 10.0
"""Seconds until a backfill in a pipe first says how far it is."""

NEXT_WORD = 30.0
"""Seconds until it says so again."""


class Bars(told.Progress):
    """Bars on a terminal's standard error, with counts and the time left."""

    def __init__(self, progress: Progress) -> None:
        """Draw with `progress`."""
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._events = self._answered = 0
        self._lock = Lock()  # several senders tell at once

    def looked(self, kind: Kind, since: datetime, until: datetime, position: datetime, events: int = 0) -> None:
        """Show how far a look has come, in hours of usage."""
        said = f"up to {moment(position)}, {count(events, 'event')}"
        self._show(_KIND[kind], (position - since) / timedelta(hours=1), (until - since) / timedelta(hours=1), said)

    def delivering(self, events: int) -> None:
        """Show a bar for so many events."""
        self._events, self._answered = events, 0
        self.answered(0)

    def answered(self, events: int) -> None:
        """Move that bar."""
        with self._lock:
            self._answered += events
            most = max(self._events, self._answered)
            self._show(DELIVERING, self._answered, most, f"{self._answered:,} of {count(most, 'event')}")

    def _show(self, name: str, completed: float, total: float, said: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, said=said)
        self._progress.update(self._tasks[name], completed=completed, total=total, said=said)


class Words(told.Progress):
    """A line on standard error now and then."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Say nothing yet.

        Args:
            say: what gets a line.
            clock: seconds.
        """
        self._say = say
        self._clock = clock
        self._next = clock() + FIRST_WORD
        self._began: dict[str, float] = {}
        self._events = self._answered = 0
        self._lock = Lock()  # several senders tell at once

    def looked(self, kind: Kind, since: datetime, until: datetime, position: datetime, events: int = 0) -> None:
        """Say how far a look has come."""
        done = (position - since) / max(until - since, timedelta(microseconds=1))
        self._tell(
            _KIND[kind], done, f"up to {moment(position)} of {moment(until)} UTC, {count(events, 'event')} planned"
        )

    def delivering(self, events: int) -> None:
        """Take note of so many events."""
        self._events, self._answered = events, 0

    def answered(self, events: int) -> None:
        """Say how many were answered."""
        with self._lock:
            self._answered += events
            most = max(self._events, self._answered, 1)
            self._tell(DELIVERING, self._answered / most, f"{self._answered:,} of {count(most, 'event')}")

    def _tell(self, what: str, done: float, said: str) -> None:
        now = self._clock()
        began = self._began.setdefault(what, now)
        if now < self._next:
            return
        self._next = now + NEXT_WORD
        left = timedelta(seconds=(now - began) * (1 - done) / done) if done else None
        rest = f", about {length(left)} left" if left and now > began else ""
        self._say(f"{what}: {said} ({done:.0%}{rest})")


@contextmanager
def progress(*, backfilling: bool) -> Iterator[told.Progress]:
    """What shows the progress of a pass while the body runs.

    Args:
        backfilling: whether it is a backfill, which says how far it is in a pipe, too: cron would mail each word.
    """
    errors = terminal.console(stderr=True)
    if not errors.is_terminal:
        yield Words(lambda line: terminal.say(f"reconcile: {line}", stderr=True)) if backfilling else told.Silent()
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[said]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=errors, transient=True) as bars:
        yield Bars(bars)
