"""What a pass did, in a few lines."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from reconciler.cli import terminal
from reconciler.model.money import usd
from reconciler.model.words import count, length, moment
from reconciler.report.foreseen import Foreseen
from reconciler.report.summary import Summary

_SENT_ALL_THE_SAME = "sent for names that have no subscription in Lago"


def summary(done: Summary, *, to_stderr: bool) -> None:
    """Say what a pass over one meter did; what needs a look goes to standard error, an alarm once in each ringing."""
    for line, style in _lines(done):
        terminal.say(line, style, stderr=to_stderr)
    for sentence in done.adopted:
        terminal.say(f"  adopted: {sentence}", stderr=to_stderr)
    for sentence in done.warnings:
        known = sentence in done.said_before
        terminal.say(f"  warning: {sentence}", terminal.LOOK, stderr=to_stderr or not known)
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
        # What was accepted counts, even if the ledger can't be read any more.
        delivered = done.delivered.accepted
        yield f"{name}: not done" + (f", {count(delivered, 'event')} accepted by Lago." if delivered else "."), ""
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
    if done.foreseen is not None:
        yield from _foreseen(done.foreseen)
    if done.open_rows and done.settled_at is not None:
        yield f"  {_following(done.open_rows, done.settled_at)}", ""
    if done.begun:
        start = done.start or datetime.now(UTC)
        yield (
            (
                f"  Billing starts with the current window, {moment(done.start)} UTC. To bill earlier usage: "
                f"reconcile --since {start - timedelta(days=1):%Y-%m-%d}"
            ),
            "",
        )


def _following(rows: int, settled_at: datetime) -> str:
    """Why a first look bills nothing although the table has rows."""
    minutes = max(0, -((datetime.now(UTC) - settled_at) // timedelta(minutes=1)))
    windows = f"{count(rows, 'row')} {'is' if rows == 1 else 'are'} in windows that are still open"
    return f"{windows}: passes from {settled_at:%H:%M} UTC on bill them, within {count(minutes, 'minute')}"


def _foreseen(seen: Foreseen) -> Iterator[tuple[str, str]]:
    """What a real run would meet in Lago."""
    if seen.events:
        yield f"  would send {count(seen.events, 'event')}, which takes Lago about {length(seen.takes)}", ""
    for one in seen.outlook.unbillable:
        yield f"  {one.sentence}", "" if one.is_on_purpose else terminal.LOOK
    if seen.outlook.unknown:
        unknown = count(seen.outlook.unknown, "subscription")
        yield f"  {unknown}: Lago can't be asked, so whether their usage is billed is not known", terminal.LOOK


def _unbilled(done: Summary) -> Iterator[str]:
    """What is not billed, or not yet: how much, and the command that says whose it is and what to do."""
    tally, now = done.tally, done.balance
    assert now is not None
    seen = tally if done.dry_run else now  # a dry run records no window
    for number, noun, what, cost, command in (
        (tally.unattributed_rows, "row", "without a customer", tally.unattributed_cost, "customers --unattributed"),
        (tally.suspect_rows, "suspect row", "not billed", None, ""),
        (now.quarantined_events, "event", "quarantined", now.quarantined_cost, "quarantine"),
        (now.held_events, "event", "held", now.held_cost, "held"),
        (seen.frozen_buckets, "bucket", "frozen", None if done.dry_run else now.frozen_cost, "frozen"),
        (seen.unmapped_buckets, "bucket", "without a subscription", seen.unmapped_cost, "customers --unmapped"),
        (now.unsubscribed_events, "event", _SENT_ALL_THE_SAME, now.unsubscribed_cost, "customers --unsubscribed"),
        (seen.late_rows, "row", "late, after retention; at least so much is not billed", seen.late_cost, ""),
    ):
        if number or cost:
            amount = "" if cost is None else f" ({usd(cost)} USD)"
            more = f": `reconcile {command}`" if command else ""
            yield f"{count(number, noun)} {what}{amount}{more}"
