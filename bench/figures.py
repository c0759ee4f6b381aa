"""The figures: ours beside what it is compared with, medians of alternated runs."""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Literal, get_args

from bench import delivery
from bench.delivery import Sent
from bench.ground import WINDOW, Ground, drop_database, make_database
from bench.responder import Responder
from bench.volume import Kind
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.sandbox import Sandbox

Look = Literal["first", "deep", "probe", "new", "fresh"]
FIGURES: tuple[str, ...] = (*get_args(Look), "memory", "delivery", "help")

# How many times what they are compared with looks may take.
TARGETS: Mapping[Kind, Mapping[Look, float]] = {
    "busy": {"first": 1.6, "deep": 1.3, "probe": 1.5, "new": 2.0, "fresh": 1.2},
    "sparse": {"first": 3.5, "deep": 2.5, "probe": 1.5, "new": 2.0, "fresh": 1.2},
}
PEAK_MB = 150.0
PEAK_GROWTH = 1.1
HELP_SECONDS = 0.4
DELIVERY_RATE = 0.8
RESPONDER_RATE = 2.0

CONNECTIONS = (4, 8)
"""How many batches are on their way at once: a pass's default, and more."""
CROWD = 48
"""How many connections show what the responder can do."""

SMALL = 20
"""How many times fewer rows the small table has."""
NEW = 100
"""How many times fewer rows are new."""

# Look-backs of whole windows that the small table has as well as the large one.
_LOOKBACK: Mapping[Kind, timedelta] = {"busy": WINDOW, "sparse": timedelta(hours=1)}

# A process begins with its parent's peak, so a small one starts the one that is measured.
_PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what is measured, and what it is divided by.
        traffic: busy, sparse, or empty.
        ours: seconds, megabytes or events a second.
        against: what it is divided by, in the same unit; None where the figure itself has the target.
        target: the most that the ratio, or else the figure, may be; None if it is only shown.
        unit: of `ours` and `against`.
        more_is_better: whether the target is the least instead.
    """

    what: str
    traffic: str
    ours: float
    against: float | None
    target: float | None
    unit: Literal["s", "MB", "/s"] = "s"
    more_is_better: bool = False

    @property
    def value(self) -> float:
        """What is held to the target."""
        return self.ours if self.against is None else self.ours / self.against

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.more_is_better else self.value <= self.target


def measure(
    server: EmbeddedPostgres,
    *,
    rows: int,
    runs: int,
    kinds: Collection[Kind],
    parts: Collection[str],
    doing: Callable[[str], None],
) -> Iterator[Figure]:
    """Measure the parts asked for, in the table's order.

    Args:
        server: the benchmark's Postgres.
        rows: how many the large tables have.
        runs: how many times each side is run.
        kinds: of traffic.
        parts: which figures.
        doing: is told what goes on.
    """
    for kind in kinds if set(parts) - {"delivery", "help"} else ():
        doing(f"{kind}: filling {rows:,} rows")
        large = Ground(server, kind, rows)
        if {"first", "deep"} & set(parts):
            yield from _whole(large, runs, parts, doing)
        if "probe" in parts:
            yield _probe(large, runs, doing)
        if "new" in parts:
            yield _new(large, runs, doing)
        if {"fresh", "memory"} & set(parts):
            doing(f"{kind}: filling {rows // SMALL:,} rows")
            small = Ground(server, kind, rows // SMALL)
            if "fresh" in parts:
                yield _fresh(large, small, runs, doing)
            if "memory" in parts:
                yield from _memory(server, large, small, doing)
    if "delivery" in parts:
        yield from _delivery(server, rows // SMALL, runs, doing)
    if "help" in parts:
        doing("reconcile --help")
        yield Figure("`reconcile --help`", "", median(_help() for _ in range(2 * runs + 1)), None, HELP_SECONDS)


def _whole(ground: Ground, runs: int, parts: Collection[str], doing: Callable[[str], None]) -> Iterator[Figure]:
    """The first look at all rows and a deep look that finds nothing, each ÷ the bare GROUP BY."""
    kind = ground.kind
    ground.group_by()  # brings the table into memory
    bare, first, deep = [], [], []
    for run in range(1, runs + 1):
        doing(f"{kind}: GROUP BY, run {run} of {runs}")
        bare.append(ground.group_by())
        doing(f"{kind}: first look, run {run} of {runs}")
        first.append(ground.first_look())
        doing(f"{kind}: deep look, run {run} of {runs}")
        if "deep" in parts:
            deep.append(ground.deep())
    seconds, events, target = median(bare), ground.events(), TARGETS[kind]
    if "first" in parts:
        what = f"first look, {events:,} events planned ÷ GROUP BY"
        yield Figure(what, kind, median(first), seconds, target["first"])
    if "deep" in parts:
        assert ground.events() == events
        yield Figure("deep look that finds nothing ÷ GROUP BY", kind, median(deep), seconds, target["deep"])


def _probe(ground: Ground, runs: int, doing: Callable[[str], None]) -> Figure:
    doing(f"{ground.kind}: probe")
    ground.bill()
    ground.count()
    bare, ours = _alternate(ground.count, ground.probe, 2 * runs + 1)
    return Figure("probe ÷ index-only count by window", ground.kind, ours, bare, TARGETS[ground.kind]["probe"])


def _new(ground: Ground, runs: int, doing: Callable[[str], None]) -> Figure:
    rows = ground.rows // NEW
    doing(f"{ground.kind}: {rows:,} new rows")
    ground.bill()
    until = ground.append(rows)

    def look() -> float:
        ground.forget_appended()
        return ground.fresh(until)

    bare, ours = _alternate(lambda: ground.group_by(ground.until), look, 2 * runs + 1)
    ground.check_billed()
    least = 1 + median(ground.write_appended() for _ in range(2 * runs + 1)) / bare
    ground.cut_appended()
    what = f"{rows:,} new rows found and planned ÷ their GROUP BY (at least {least:.2f})"
    return Figure(what, ground.kind, ours, bare, TARGETS[ground.kind]["new"])


def _fresh(large: Ground, small: Ground, runs: int, doing: Callable[[str], None]) -> Figure:
    kind = large.kind
    doing(f"{kind}: fresh look that finds nothing")
    for ground in (large, small):
        ground.bill()
    lookback = _LOOKBACK[kind]
    there, here = _alternate(lambda: small.fresh(lookback=lookback), lambda: large.fresh(lookback=lookback), 4 * runs)
    what = f"fresh look that finds nothing, {large.rows:,} rows ÷ {small.rows:,}"
    return Figure(what, kind, here, there, TARGETS[kind]["fresh"])


def _memory(server: EmbeddedPostgres, large: Ground, small: Ground, doing: Callable[[str], None]) -> Iterator[Figure]:
    """The peak of a real process that bills all rows: it sends them, or streams them to a ledger elsewhere."""
    kind = large.kind
    peak = {}
    for ground in (small, large):
        doing(f"{kind}: peak memory, {ground.rows:,} rows")
        peak[ground] = _sending(ground) if kind == "busy" else _streaming(server, ground)
    how = "billed and sent" if kind == "busy" else "streamed to a ledger elsewhere, Lago away"
    yield Figure(f"peak memory, {large.rows:,} rows {how}", kind, peak[large], None, PEAK_MB, "MB")
    yield Figure(
        f"peak memory, {large.rows:,} rows ÷ {small.rows:,}", kind, peak[large], peak[small], PEAK_GROWTH, "MB"
    )


def _sending(ground: Ground) -> float:
    ground.drop_ledger()
    with Sandbox() as lago:
        there = {"LAGO_API_BASE": lago.url, "LAGO_API_KEY": lago.api_key}
        code, peak = _peak(ground, there)
    if code != 0:
        raise RuntimeError(f"{ground.name}: reconcile ended with {code}")
    ground.check_billed()
    return peak


def _streaming(server: EmbeddedPostgres, ground: Ground) -> float:
    name = f"{ground.name}_ledger"
    code, peak = _peak(ground, {"RECONCILE_LEDGER_URL": make_database(server, name)})
    drop_database(server, name)
    if code != 1:  # Lago is away
        raise RuntimeError(f"{ground.name}: reconcile ended with {code}")
    return peak


def _peak(ground: Ground, environ: Mapping[str, str]) -> tuple[int, float]:
    """The exit code and the peak memory, in megabytes, of `reconcile` over all rows."""
    command = [sys.executable, "-m", "reconciler", "--since", ground.since.isoformat(), "--json"]
    outcome = subprocess.run(
        [sys.executable, "-c", _PEAK, *command],
        env={**os.environ, **ground.environ, **environ},
        capture_output=True,
        check=True,
        text=True,
    )
    code, size = map(int, outcome.stdout.split())
    return code, size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6


def _delivery(server: EmbeddedPostgres, rows: int, runs: int, doing: Callable[[str], None]) -> Iterator[Figure]:
    """What a pass delivers in a second ÷ what a bare loop does, and proof that the responder could do far more."""
    doing(f"delivery: filling {rows:,} rows")
    with Responder() as responder:
        ground = Ground(server, "sparse", rows, responder.url)
        ground.first_look()
        fastest, busiest = 0.0, 0.0
        for connections in CONNECTIONS:
            bare, ours = [], []
            for run in range(1, runs + 1):
                doing(f"delivery, {connections} connections, run {run} of {runs}")
                began = responder.cpu_seconds()
                bare.append(delivery.bare(ground, connections))
                busiest = max(busiest, (responder.cpu_seconds() - began) / bare[-1].seconds)
                ours.append(delivery.ours(ground, connections))
            fastest = max(fastest, _median(bare, lambda sent: sent.rate))
            yield from _compared(connections, bare, ours)
        crowd = [delivery.bare(ground, CROWD) for _ in range(runs)]
    what = f"responder, {CROWD} connections ÷ the bare loop's {connections} (which take {busiest:.0%} of its core)"
    rate = _median(crowd, lambda sent: sent.rate)
    yield Figure(what, "sparse", rate, fastest, RESPONDER_RATE, "/s", more_is_better=True)


def _compared(connections: int, bare: Sequence[Sent], ours: Sequence[Sent]) -> Iterator[Figure]:
    rate, cpu = (lambda sent: sent.rate), (lambda sent: sent.cpu_of_thousand)
    what, target = f"{ours[0].events:,} events delivered, {connections} connections ÷ bare httpx loop", DELIVERY_RATE
    yield Figure(what, "sparse", _median(ours, rate), _median(bare, rate), target, "/s", more_is_better=True)
    what = f"CPU seconds of the client for 1,000 events, {connections} connections ÷ bare httpx loop"
    yield Figure(what, "sparse", _median(ours, cpu), _median(bare, cpu), None)


def _median(runs: Sequence[Sent], what: Callable[[Sent], float]) -> float:
    return median(map(what, runs))


def _help() -> float:
    script = Path(sysconfig.get_path("scripts")) / "reconcile"
    began = time.perf_counter()
    subprocess.run([script, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _alternate(bare: Callable[[], float], ours: Callable[[], float], runs: int) -> tuple[float, float]:
    """Return the medians of both sides, run in turn."""
    pairs = [(bare(), ours()) for _ in range(runs)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
