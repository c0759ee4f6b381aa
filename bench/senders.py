"""Several passes on one backlog, as cron on several machines starts them: what more of them are good for.

Without a limit each takes its share, and the time falls with their number until the machine is busy. With Lago's rate
limit it falls until the limit is reached, and then can only stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.delivery import CONNECTIONS
from bench.ground import Ground
from bench.process import together
from bench.responder import LATENCY, Heard, Responder
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.settings.limits import Limits

PASSES = (1, 2, 3, 5)
"""How many at once."""

PART = 33
"""How many times fewer rows than the large tables have make the backlog: 27,000 events."""

SLOW = 0.2
"""Seconds that an answer takes where the passes should wait for Lago, and not for the benchmark's processors."""

LIMIT = 50
"""Requests a second over all clients, as Lago's cloud allows for most endpoints."""

LAGOS = ((LATENCY, None), (SLOW, None), (SLOW, LIMIT))
"""How Lago is: seconds that each answer takes, and requests a second that it allows over all clients, if not any."""


@dataclass(frozen=True)
class Crew:
    """One line of the table.

    Attributes:
        latency: seconds that each answer takes.
        limit: requests a second that the responder allows over all clients; None is as many as come.
        passes: how many processes there were.
        seconds: from the start of the processes to the end of the last.
        heard: what came to the responder.
        alone: the seconds of one pass, from its first batch to the answer to the last.
        busy: which share of the machine's processors was in use, by whomever; None if that can't be told.
    """

    latency: float
    limit: int | None
    passes: int
    seconds: float
    heard: Heard
    alone: float
    busy: float | None

    @property
    def ratio(self) -> float:
        """The time of delivery ÷ that of one pass."""
        return self.heard.seconds / self.alone

    @property
    def least(self) -> float:
        """The seconds that so many batches need at least: by latency and connections, or by the limit."""
        batches = self.heard.events / Limits().batch
        by_latency = batches * self.latency / (CONNECTIONS * self.passes)
        return max(by_latency, batches / self.limit) if self.limit else by_latency


def crews(server: EmbeddedPostgres, rows: int, doing: Callable[[str], None]) -> Iterator[Crew]:
    """Let one pass, then several, deliver the same backlog to each Lago.

    Args:
        server: the benchmark's Postgres.
        rows: of the large tables.
        doing: is told what goes on.

    Raises:
        RuntimeError: a pass failed, or not all was delivered.
    """
    for latency, limit in LAGOS:
        with Responder(latency=latency, limit=limit) as responder:
            doing(f"senders: filling {rows // PART:,} rows")
            ground = Ground(server, "sparse", rows // PART, responder.url)
            alone = 0.0
            for passes in PASSES:
                doing(f"senders: {passes} at once, {latency} s an answer, limit {limit}")
                ground.first_look()
                ground.execute("CHECKPOINT")
                responder.forget()
                before = _jiffies()
                seconds = together(ground.environ, passes)
                busy = _share(before, _jiffies())
                heard, planned = responder.heard(), ground.events()
                if heard.events - heard.twice != planned:
                    raise RuntimeError(f"{passes} passes delivered {heard.events} of {planned} events")
                alone = alone or heard.seconds
                yield Crew(latency, limit, passes, seconds, heard, alone, busy)


def _jiffies() -> tuple[int, int] | None:
    """What all processors have spent so far, idle and in all; None where no kernel tells."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    user, nice, system, idle, iowait, *others = map(int, path.read_text().splitlines()[0].split()[1:9])
    return idle + iowait, user + nice + system + idle + iowait + sum(others)


def _share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None:
        return None
    (idle_before, before_all), (idle_after, after_all) = before, after
    return 1 - (idle_after - idle_before) / (after_all - before_all)
