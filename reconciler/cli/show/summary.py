"""What a pass did, in a few lines."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from reconciler.cli import terminal
from reconciler.model.money import usd
from reconciler.model.words import count, moment
from reconciler.report.summary import Summary


def summary(done: Summary, *, to_stderr: bool) -> None:
    """Say what a pass over one meter did; what needs a look goes to standard error, an alarm once in each ringing."""
    for line, style in _lines(done):
        terminal.say(line, style, stderr=to_stderr)
    for sentence in done.adopted:
        terminal.say(f"  adopted: {sentence}", stderr=to_stderr)
    for sentence in done.warnings:
        terminal.say(f"  warning: {sentence}", terminal.LOOK, stderr=True)
    for alarm in done.alarms:
        name = f"alarm {alarm['id']} ({alarm['kind']})"
        if alarm["id"] in done.ringing:
            terminal.say(f"  {name}: {alarm['message']}", terminal.LOOK, stderr=True)
        elif not alarm["acknowledged"]:
            line = f"  {name} stands since {alarm['raised_at']}: `reconcile alarm` says it in full"
            terminal.say(line, terminal.LOOK, stderr=to_stderr)
    if done.error is not None:
        terminal.complain(str(done.error))


def _lines(done: Summary) -> Iterator[tuple[str, str]]:
    name = f"Meter {done.meter}"
    if done.skipped:
        yield f"{name}: another pass is running; nothing to do.", ""
        return
    if done.balance is None:
        yield f"{name}: not done.", ""
        return
    tally, now = done.tally, done.balance
    verb = "would plan" if done.dry_run else "planned"
    looked_at = count(tally.windows, "window")
    yield f"{name}: {moment(done.since)} to {moment(done.until)} UTC, {looked_at} looked at", ""
    planned = f"{verb} {count(tally.events_planned, 'event')} of {usd(tally.cost_planned)} USD"
    yield f"  {count(tally.rows, 'row')} newly billed, {planned}", ""
    if not done.dry_run:
        accepted = count(done.delivered.accepted, "event")
        quarantined = f"{now.quarantined_events:,} quarantined"
        yield f"  {accepted} accepted by Lago, {now.planned_events:,} pending, {quarantined}", ""
    yield from ((f"  {line}", terminal.LOOK) for line in _unbilled(done))
    if done.begun:
        start = done.start or datetime.now(UTC)
        yield (
            (
                f"  Billing starts with the current window, {moment(done.start)} UTC. To bill earlier usage: "
                f"reconcile --since {start - timedelta(days=1):%Y-%m-%d}"
            ),
            "",
        )


def _unbilled(done: Summary) -> Iterator[str]:
    """What is not billed, or not yet: how much, and the command that says whose it is and what to do."""
    tally, now = done.tally, done.balance
    assert now is not None
    for number, noun, what, cost, command in (
        (tally.unattributed_rows, "row", "without a customer", tally.unattributed_cost, "customers --unattributed"),
        (tally.suspect_rows, "suspect row", "not billed", None, ""),
        (now.quarantined_events, "event", "quarantined", now.quarantined_cost, "quarantine"),
        (now.held_events, "event", "held", now.held_cost, "held"),
        (now.frozen_buckets, "bucket", "frozen", now.frozen_cost, ""),
        (now.unmapped_buckets, "bucket", "without a subscription", now.unmapped_cost, "customers --unmapped"),
        (now.late_rows, "row", "too late, after retention", now.late_cost, ""),
    ):
        if number:
            amount = "" if cost is None else f" ({usd(cost)} USD)"
            more = f": `reconcile {command}`" if command else ""
            yield f"{count(number, noun)} {what}{amount}{more}"
