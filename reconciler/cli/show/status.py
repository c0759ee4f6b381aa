"""How a meter stands."""

from collections.abc import Iterator
from datetime import UTC

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.ledger.lagos import KnownLago
from reconciler.model.money import usd
from reconciler.model.words import count, length, moment
from reconciler.report.status import DAYS, Status


def status(now: Status) -> None:
    """Show how a meter stands."""
    terminal.heading(f"Meter {now.meter.name}")
    terminal.facts(_facts(now))
    terminal.heading("Usage")
    terminal.table(("", "number>", "USD>"), _usage(now))
    if now.days:
        terminal.heading(f"Billed on the last {count(DAYS, 'day')} (UTC), in USD, and what has become of it")
        terminal.table(
            ("day", "events>", "input tokens>", "output tokens>", "billed>", "accepted>", "on its way>?", "held>?",
             "quarantined, discarded>?"),
            (
                Row(
                    (str(row.day), f"{row.events:,}", f"{row.input_tokens:,}", f"{row.output_tokens:,}",
                     usd(row.cost), usd(row.accepted_cost), usd(row.planned_cost), usd(row.held_cost),
                     usd(row.refused_cost)),
                )
                for row in now.days
            ),
        )  # fmt: skip
    if now.runs:
        terminal.heading("Last passes (UTC)")
        terminal.table(("began", "took", "outcome"), _runs(now))
    for alarm in now.alarms:
        quiet = " (acknowledged)" if alarm["acknowledged"] else ""
        style = "" if alarm["acknowledged"] else terminal.LOOK
        name = "alarm" if alarm["id"] is None else f"alarm {alarm['id']}"
        terminal.say(f"{name} ({alarm['kind']}){quiet}: {alarm['message']}", style)


def _usage(now: Status) -> Iterator[Row]:
    state = now.balance
    for name, number, cost, needs_a_look in (
        (f"accepted, of the last {count(DAYS, 'day')}", now.accepted_events, now.accepted_cost, False),
        ("planned", state.planned_events, state.planned_cost, False),
        ("quarantined", state.quarantined_events, state.quarantined_cost, True),
        ("held", state.held_events, state.held_cost, True),
        ("discarded", state.discarded_events, state.discarded_cost, False),
        ("frozen (buckets)", state.frozen_buckets, state.frozen_cost, True),
        ("credited by hand (buckets)", state.credited_buckets, state.credited_cost, False),
        ("taken over (rows)", state.taken_over_requests, state.taken_over_cost, False),
        ("unmapped (buckets)", state.unmapped_buckets, state.unmapped_cost, True),
        ("sent without a subscription", state.unsubscribed_events, state.unsubscribed_cost, True),
        ("unattributed (rows)", state.unattributed_rows, state.unattributed_cost, False),
        ("suspect (rows)", state.suspect_rows, None, True),
        ("late, after retention (rows)", state.late_rows, state.late_cost, True),
    ):
        style = terminal.LOOK if needs_a_look and number else ""
        yield Row((name, f"{number:,}", "" if cost is None else usd(cost)), style)


def _runs(now: Status) -> Iterator[Row]:
    for row in now.runs:
        took = length(row.finished_at - row.started_at) if row.finished_at else "unfinished"
        outcome = row.outcome or ""
        style = terminal.LOOK if outcome.startswith("failed") else ""
        yield Row((f"{row.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", took, outcome), style)


def _facts(now: Status) -> Iterator[tuple[str, str]]:
    meter = now.meter
    yield "watermark", f"{moment(meter.watermark)} UTC, {length(now.lag)} behind"
    yield "start", f"{moment(meter.start)} UTC"
    yield "source", "/".join(meter.source[part] for part in ("database", "schema"))
    yield "Lago", meter.lago
    yield "its store", _store(now.lago)
    if now.lago and now.lago.away_since:
        yield "away", f"since {moment(now.lago.away_since)} UTC"
    if meter.purge_mark:
        yield "purged up to", f"{moment(meter.purge_mark)} UTC"
    if now.stalled:
        yield "stalled", f"passes begin and do not finish since {moment(now.stalled)} UTC"


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
