"""A day's backlog beside a tenth of it: neither by a process's memory nor by its rate should one tell them apart."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from bench import delivery
from bench.figure import Figure
from bench.ground import Ground
from bench.process import reconcile
from bench.responder import Responder
from reconciler.demo.postgres import EmbeddedPostgres

GROWTH = 1.1
"""How many times the memory of the small backlog the large one may take."""

PACE = 0.9
"""How much of the small backlog's rate the large one should reach at least."""

DAY = 226
"""Rows of a day's backlog for 1,000 rows of the large tables: 200,000 events."""

PART = 10
"""How many times less the small backlog has."""

BAR = "Delivering to Lago"


@dataclass(frozen=True)
class Drained:
    """A backlog that a process drained.

    Attributes:
        events: how many.
        rate: events a second.
        peak: the process's memory, in megabytes.
        bare: events a second of the bare loop.
    """

    events: int
    rate: float
    peak: float
    bare: float


def figures(server: EmbeddedPostgres, rows: int, runs: int, doing: Callable[[str], None]) -> Iterator[Figure]:
    """Drain a tenth of a day's backlog so many times, then a day's once.

    Args:
        server: the benchmark's Postgres.
        rows: of the large tables.
        runs: of the small backlog; the large one is long enough by itself.
        doing: is told what goes on.

    Raises:
        RuntimeError: a process failed, left or repeated events, or drew no progress.
    """
    day = rows * DAY // 1000
    with Responder() as responder:
        small = _medians([_drained(server, day // PART, responder, doing) for _ in range(runs)])
        large = _drained(server, day, responder, doing)
    for drained in (small, large):
        what = f"{drained.events:,} events drained by `reconcile` on a terminal ÷ bare httpx loop"
        yield Figure(what, "sparse", drained.rate, drained.bare, delivery.RATE, "/s", more_is_better=True)
    what = f"{large.events:,} events drained ÷ {small.events:,}"
    yield Figure(what, "sparse", large.rate, small.rate, PACE, "/s", more_is_better=True)
    yield Figure(f"peak memory, {what}", "sparse", large.peak, small.peak, GROWTH, "MB")


def _drained(server: EmbeddedPostgres, rows: int, responder: Responder, doing: Callable[[str], None]) -> Drained:
    doing(f"backlog: filling {rows:,} rows")
    ground = Ground(server, "sparse", rows, responder.url)
    ground.first_look()
    planned = ground.events()
    doing(f"backlog: {planned:,} events by the bare loop")
    responder.forget()
    delivery.bare(ground, delivery.CONNECTIONS)
    bare = responder.heard().rate
    doing(f"backlog: {planned:,} events by `reconcile`")
    ground.execute("CHECKPOINT")
    responder.forget()
    ended = reconcile(ground.environ, terminal=True)
    ended.expect(0)
    heard = responder.heard()
    if (heard.events, heard.twice) != (planned, 0):
        raise RuntimeError(f"{heard.events} events were sent, {heard.twice} of them again, of {planned}")
    if BAR not in ended.said:
        raise RuntimeError(f"reconcile drew no progress on a terminal: {ended.said.strip()}")
    return Drained(planned, heard.rate, ended.peak, bare)


def _medians(runs: list[Drained]) -> Drained:
    return Drained(
        runs[0].events,
        median(run.rate for run in runs),
        median(run.peak for run in runs),
        median(run.bare for run in runs),
    )
