"""What people see: progress bars, summaries, tables. Programs get JSON instead."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from reconciler.ledger.lagos import KnownLago
from reconciler.model.money import plain, total
from reconciler.report.progress import Kind
from reconciler.report.quarantine import Quarantined
from reconciler.report.status import Status
from reconciler.report.summary import Summary

_OUT = Console(highlight=False, soft_wrap=True)
_ERR = Console(stderr=True, highlight=False, soft_wrap=True)

_KIND = {
    "fresh": "Looking at new windows",
    "probe": "Probing for late rows",
    "deep": "Looking again at everything",
    "backfill": "Backfilling",
}


class Bar:
    """The progress of a pass, as bars on a terminal's standard error."""

    def __init__(self, progress: Progress) -> None:
        """Draw with `progress`."""
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def looked(self, kind: Kind, since: datetime, until: datetime, position: datetime) -> None:
        """Show how far a look has come, in hours of usage."""
        task = self._task(_KIND[kind], (until - since) / timedelta(hours=1))
        self._progress.update(task, completed=(position - since) / timedelta(hours=1))

    def delivering(self, events: int) -> None:
        """Show a bar for so many events."""
        self._progress.update(self._task("Delivering to Lago", events), total=events)

    def answered(self, events: int) -> None:
        """Move that bar."""
        self._progress.advance(self._task("Delivering to Lago", events), events)

    def _task(self, name: str, total: float) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        return self._tasks[name]


@contextmanager
def progress() -> Iterator[Bar]:
    """Bars while the body runs; nothing where standard error is no terminal."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=_ERR, transient=True, disable=not _ERR.is_terminal) as bars:
        yield Bar(bars)


def summary(done: Summary, *, to_stderr: bool) -> None:
    """Say in a few lines what a pass did."""
    console = _ERR if to_stderr else _OUT
    console.print("\n".join(_lines(done)), markup=False)
    for sentence in done.adopted:
        console.print(f"  adopted: {sentence}", markup=False)
    for sentence in done.warnings:
        _ERR.print(f"  warning: {sentence}", markup=False)
    for alarm in done.alarms:
        if not alarm["acknowledged"]:
            _ERR.print(f"  alarm {alarm['id']} ({alarm['kind']}): {alarm['message']}", markup=False)
    if done.error is not None:
        _ERR.print(f"reconcile: {done.error}", markup=False)


def _lines(done: Summary) -> Iterator[str]:
    name = f"Meter {done.meter}"
    if done.skipped:
        yield f"{name}: another pass is running; nothing to do."
        return
    if done.balance is None:
        yield f"{name}: not done."
        return
    tally, now = done.tally, done.balance
    verb = "would plan" if done.dry_run else "planned"
    yield f"{name}: {_moment(done.since)} to {_moment(done.until)}, {_count(tally.windows, 'window')} looked at"
    yield (
        f"  {_count(tally.rows, 'row')} newly billed, {verb} {_count(tally.events_planned, 'event')} of "
        f"{plain(tally.cost_planned)} USD"
    )
    if not done.dry_run:
        yield (
            f"  {_count(done.delivered.accepted, 'event')} accepted by Lago, {now.planned_events:,} pending, "
            f"{now.quarantined_events:,} quarantined"
        )
    if tally.unattributed_rows:
        yield (
            f"  {_count(tally.unattributed_rows, 'row')} without a customer "
            f"({plain(tally.unattributed_cost)} USD), not billed"
        )
    if tally.suspect_rows:
        yield f"  {_count(tally.suspect_rows, 'suspect row')}, not billed"
    waiting = (
        (now.held_events, "event", "held", now.held_cost),
        (now.frozen_buckets, "bucket", "frozen", now.frozen_cost),
        (now.unmapped_buckets, "bucket", "without a subscription", now.unmapped_cost),
        (now.late_rows, "row", "too late, after retention", now.late_cost),
    )
    if stuck := [f"{_count(number, what)} {why} ({plain(cost)} USD)" for number, what, why, cost in waiting if number]:
        yield f"  {', '.join(stuck)}"
    if done.begun:
        yield (
            f"  Billing starts with the current window, {_moment(done.start)} UTC. To bill earlier usage: "
            f"reconcile --since {(done.start or datetime.now(UTC)) - timedelta(days=1):%Y-%m-%d}"
        )


def status(now: Status) -> None:
    """Show how a meter stands."""
    state = now.balance
    _OUT.print(f"[bold]Meter {escape(now.meter.name)}[/bold]")
    _OUT.print(_facts(now))

    figures = Table(title="Usage", title_justify="left")
    for name, justify in (("", "left"), ("number", "right"), ("USD", "right")):
        figures.add_column(name, justify="right" if justify == "right" else "left")
    for name, number, cost in (
        (f"accepted, last {len(now.days)} days with usage", now.accepted_events, now.accepted_cost),
        ("planned", state.planned_events, state.planned_cost),
        ("quarantined", state.quarantined_events, state.quarantined_cost),
        ("held", state.held_events, state.held_cost),
        ("discarded", state.discarded_events, state.discarded_cost),
        ("frozen (buckets)", state.frozen_buckets, state.frozen_cost),
        ("unmapped (buckets)", state.unmapped_buckets, state.unmapped_cost),
        ("unattributed (rows)", state.unattributed_rows, state.unattributed_cost),
        ("suspect (rows)", state.suspect_rows, None),
        ("late, after retention (rows)", state.late_rows, state.late_cost),
    ):
        figures.add_row(name, f"{number:,}", "" if cost is None else plain(cost))
    _OUT.print(figures)

    if now.days:
        days = Table(title="Billed per day (UTC)", title_justify="left")
        for name in ("day", "events", "input tokens", "output tokens", "USD"):
            days.add_column(name, justify="left" if name == "day" else "right")
        for row in now.days:
            days.add_row(
                str(row.day),
                f"{row.events:,}",
                f"{row.input_tokens:,}",
                f"{row.output_tokens:,}",
                plain(row.cost),
            )
        _OUT.print(days)

    if now.runs:
        runs = Table(title="Last runs (UTC)", title_justify="left")
        for name in ("started", "took", "outcome"):
            runs.add_column(name)
        for row in now.runs:
            took = _age(row.finished_at - row.started_at) if row.finished_at else "unfinished"
            runs.add_row(f"{row.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", took, escape(row.outcome or ""))
        _OUT.print(runs)
    for row in now.alarms:
        quiet = " (acknowledged)" if row.acknowledged_at else ""
        _OUT.print(f"alarm {row.id} ({row.kind}){quiet}: {row.message}", markup=False)


def _facts(now: Status) -> Table:
    meter = now.meter
    facts = Table.grid(padding=(0, 2))
    facts.add_row("watermark", f"{_moment(meter.watermark)} UTC, {_age(now.lag)} behind")
    facts.add_row("start", f"{_moment(meter.start)} UTC")
    facts.add_row("source", escape("/".join(meter.source[part] for part in ("database", "schema"))))
    facts.add_row("Lago", escape(meter.lago))
    facts.add_row("its store", _store(now.lago))
    if now.lago and now.lago.away_since:
        facts.add_row("away", f"since {_moment(now.lago.away_since)} UTC")
    if meter.purge_mark:
        facts.add_row("purged up to", f"{_moment(meter.purge_mark)} UTC")
    if now.stalled:
        facts.add_row("stalled", f"passes begin and do not finish since {_moment(now.stalled)} UTC")
    return facts


def _store(lago: KnownLago | None) -> str:
    match lago.store if lago else None:
        case "postgres":
            return "postgres: accepted is stored"
        case "clickhouse":
            return "clickhouse: accepted is on its way, not yet seen there"
        case "unknown":
            return "unknown: open attempts are read back before they go again"
        case _:
            return "not asked yet"


def alarms(found: Sequence[dict[str, Any]]) -> None:
    """List alarms."""
    if not found:
        _OUT.print("No alarm stands.")
        return
    table = Table("id", "meter", "kind", "since (UTC)", "what", "acknowledged")
    for each in found:
        table.add_row(
            str(each["id"]), escape(each["meter"]), each["kind"], each["raised_at"], escape(each["message"]),
            escape(each["reason"] or ""),
        )  # fmt: skip
    _OUT.print(table)


def quarantine(found: Sequence[Quarantined]) -> None:
    """List quarantined events."""
    if not found:
        _OUT.print("No event is quarantined.")
        return
    shown = _short([event.transaction_id for event in found])
    table = Table("id", "meter", "window (UTC)", "customer", "model", "USD", "since (UTC)", "why", show_lines=False)
    table.columns[5].justify = "right"
    for event in found:
        table.add_row(
            event.transaction_id[:shown], escape(event.meter), _moment(event.window_start),
            escape(_brief(event.customer, 40)), escape(_brief(event.model, 40)), plain(event.cost),
            _moment(event.answered_at), escape(_brief(event.answer or "", 160)),
        )  # fmt: skip
    _OUT.print(table)
    cost = total(event.cost for event in found)
    _OUT.print(f"{_count(len(found), 'event')}, {plain(cost)} USD. `reconcile quarantine show ID` says more of one.")


def quarantined_event(event: Quarantined) -> None:
    """Show all of one quarantined event."""
    facts = Table.grid(padding=(0, 2))
    tokens = f"{event.input_tokens:,} input and {event.output_tokens:,} output tokens"
    for name, value in (
        ("id", event.transaction_id),
        ("meter", event.meter),
        ("window", f"{_moment(event.window_start)} UTC, revision {event.revision}"),
        ("customer", _brief(event.customer, 1000)),
        ("model", event.model),
        ("subscription", _brief(event.subscription, 1000)),
        ("usage", f"{tokens}, {_count(event.requests, 'request')}, {plain(event.cost)} USD"),
        ("attempts", f"{event.attempts}, the first {_moment(event.attempted_at)} UTC"),
        ("quarantined", f"{_moment(event.answered_at)} UTC" + (", in conflict" if event.conflict else "")),
        ("why", event.answer or ""),
        ("seen before", event.failure or "nothing"),
        ("event", _brief(event.payload or "", 4000)),
    ):  # fmt: skip
        facts.add_row(name, escape(value))
    _OUT.print(facts)


def _short(ids: Sequence[str]) -> int:
    """How much of the ids is enough to tell them apart: at least ten characters."""
    return next((n for n in range(10, 67) if len({text[:n] for text in ids}) == len(set(ids))), 67)


def _brief(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text):,} characters)"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _age(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
