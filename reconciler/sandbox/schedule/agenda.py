"""What is due when: the next job of each subscription and of each draft invoice.

Lago's clock runs every hour; here jobs are looked at before each request and run in order, each at the instant
at which Lago's clock would have run it.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

_NEVER = 2**63


class Job(NamedTuple):
    """Something that is due.

    Attributes:
        kind: `activate`, `end`, `rotate`, `bill`, `bill_last`, `refresh` or `finalize`.
        organization: whose it is.
        lago_id: of the subscription or invoice.
        ready: the instant from which it could run, in microseconds since 1970.
        at: the instant at which Lago's clock runs it.
    """

    kind: str
    organization: str
    lago_id: str
    ready: int
    at: int


class Agenda:
    """The jobs that are known, kept up by being told what has changed."""

    def __init__(self) -> None:
        self.paused = False
        self._resumed_at = 0
        self._jobs: dict[str, Job] = {}
        self._changed: set[tuple[str, str]] = set()
        self._all_changed = True
        self._next = _NEVER

    def clear(self) -> None:
        """Forget everything; the clock runs."""
        self.paused = False
        self._resumed_at = 0
        self.all_changed()

    def pause(self) -> None:
        """Let what is due wait."""
        self.paused = True

    def resume(self, now: int) -> None:
        """Do what is due, what has waited first."""
        if self.paused:
            self.paused, self._resumed_at = False, now

    def worked_at(self, at: int, now: int) -> int:
        """Return when what was due at an instant is done: then, or when what was paused went on."""
        return now if self.paused else max(at, self._resumed_at)

    def changed(self, organization: str, lago_id: str) -> None:
        """Look again at a subscription or an invoice."""
        self._changed.add((organization, lago_id))

    def all_changed(self) -> None:
        """Look again at everything."""
        self._all_changed = True

    def refresh(
        self, everything: Callable[[], Iterable[tuple[str, str]]], job: Callable[[str, str], Job | None]
    ) -> None:
        """Ask for the jobs of what has changed: `job` tells the one of an organization's `lago_id`, if there is one."""
        if self._all_changed:
            self._jobs.clear()
            self._changed.clear()
            self._changed.update(everything())
            self._all_changed, self._next = False, _NEVER
        for organization, lago_id in self._changed:
            self._jobs.pop(lago_id, None)
            if due := job(organization, lago_id):
                self._jobs[lago_id] = due
                self._next = min(self._next, due.at)
        self._changed.clear()

    def due(self, now: int) -> list[Job]:
        """Return the jobs that come first, all of one instant, if that has passed; else none."""
        if now < self._next:
            return []
        self._next = min((job.at for job in self._jobs.values()), default=_NEVER)
        return [job for job in self._jobs.values() if job.at == self._next] if self._next <= now else []

    def ready(self, now: int) -> list[Job]:
        """Return the jobs that could run by now, the first of them first."""
        return sorted((job for job in self._jobs.values() if job.ready <= now), key=lambda job: job.ready)
