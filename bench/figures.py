"""The figures: ours beside what it is compared with, medians of alternated runs."""

import subprocess
import sysconfig
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Literal, get_args

from bench import backlog, delivery, verifying
from bench.delivery import Sent
from bench.figure import Figure
from bench.ground import CODE, WINDOW, Ground, drop_database, make_database
from bench.process import reconcile
from bench.responder import Responder
from bench.volume import Kind, Traffic
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.sandbox import Sandbox

Look = Literal["first", "deep", "probe", "new", "fresh"]
FIGURES: tuple[str, ...] = (*get_args(Look), "memory", "delivery", "backlog", "verify", "help")

# How many times what they are compared with looks may take.
TARGETS: Mapping[Traffic, Mapping[Look, float]] = {
    "busy": {"first": 1.5, "deep": 1.2, "probe": 1.5, "new": 2.3, "fresh": 1.2},
    "sparse": {"first": 3.3, "deep": 1.8, "probe": 1.5, "new": 5.3, "fresh": 1.2},
}
PEAK_MB = 150.0
PEAK_GROWTH = 1.1
HELP_SECONDS = 0.4
RESPONDER_RATE = 2.0
DELIVERY_CPU = 2.0

CONNECTIONS = (2, 4, 8)
"""How many batches are on their way at once: a pass's default, and more."""
CROWD = 48
"""How many connections show what the responder can do."""

SMALL = 20
"""How many times fewer rows the small table has."""
NEW = 100
"""How many times fewer rows are new."""

# Look-backs of whole windows that the small table has as well as the large one.
_LOOKBACK: Mapping[Traffic, timedelta] = {"busy": WINDOW, "sparse": timedelta(hours=1)}


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
    for kind in kinds if {*get_args(Look), "memory"} & set(parts) else ():
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
    if "backlog" in parts:
        yield from backlog.figures(server, rows, runs, doing)
    if "verify" in parts:
        yield from verifying.figures(server, 2 * runs + 1, doing)
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
        lago.make_metric(CODE)
        there = {"LAGO_API_BASE": lago.url, "LAGO_API_KEY": lago.api_key}
        ended = reconcile({**ground.environ, **there}, "--since", ground.since.isoformat())
    ended.expect(0)
    ground.check_billed()
    return ended.peak


def _streaming(server: EmbeddedPostgres, ground: Ground) -> float:
    name = f"{ground.name}_ledger"
    there = {"RECONCILE_LEDGER_URL": make_database(server, name)}
    ended = reconcile({**ground.environ, **there}, "--since", ground.since.isoformat())
    drop_database(server, name)
    ended.expect(1)  # Lago is away
    return ended.peak


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
                responder.forget()
                bare.append(delivery.bare(ground, connections))
                busiest = max(busiest, responder.heard().cpu_seconds / bare[-1].seconds)
                ours.append(delivery.ours(ground, connections))
            fastest = max(fastest, _median(bare, lambda sent: sent.rate))
            yield from _compared(connections, bare, ours)
        crowd = [delivery.bare(ground, CROWD) for _ in range(runs)]
    what = f"responder, {CROWD} connections ÷ the bare loop's {connections} (which take {busiest:.0%} of its core)"
    rate = _median(crowd, lambda sent: sent.rate)
    yield Figure(what, "sparse", rate, fastest, RESPONDER_RATE, "/s", more_is_better=True)


def _compared(connections: int, bare: Sequence[Sent], ours: Sequence[Sent]) -> Iterator[Figure]:
    rate, cpu = (lambda sent: sent.rate), (lambda sent: sent.cpu_of_thousand)
    what, target = f"{ours[0].events:,} events delivered, {connections} connections ÷ bare httpx loop", delivery.RATE
    yield Figure(what, "sparse", _median(ours, rate), _median(bare, rate), target, "/s", more_is_better=True)
    what = f"CPU seconds of the client for 1,000 events, {connections} connections ÷ bare httpx loop"
    yield Figure(what, "sparse", _median(ours, cpu), _median(bare, cpu), DELIVERY_CPU)


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
