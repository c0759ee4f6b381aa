"""Events of the ledger, as a list and one by one."""

from collections.abc import Sequence

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import plain, total, usd
from reconciler.model.visible import brief
from reconciler.model.words import count, moment
from reconciler.report.quarantine import Quarantined


def quarantine(found: Sequence[Quarantined]) -> None:
    """List quarantined events."""
    if not found:
        terminal.say("No event is quarantined.")
        return
    shown = _short([event.transaction_id for event in found])
    terminal.table(
        ("id", "meter", "window (UTC)", "customer", "model", "USD>", "since (UTC)", "why"),
        (
            Row(
                (event.transaction_id[:shown], event.meter, moment(event.window_start), brief(event.customer, 40),
                 brief(event.model, 40), usd(event.cost), moment(event.answered_at), brief(event.answer or "", 160)),
            )
            for event in found
        ),
    )  # fmt: skip
    cost = usd(total(event.cost for event in found))
    terminal.say(f"{count(len(found), 'event')}, {cost} USD. `reconcile quarantine show ID` says more of one.")


def quarantined_event(event: Quarantined) -> None:
    """Show all of one quarantined event."""
    tokens = f"{event.input_tokens:,} input and {event.output_tokens:,} output tokens"
    terminal.facts(
        (
            ("id", event.transaction_id),
            ("meter", event.meter),
            ("window", f"{moment(event.window_start)} UTC, revision {event.revision}"),
            ("customer", brief(event.customer, 1000)),
            ("model", event.model),
            ("subscription", brief(event.subscription, 1000)),
            ("usage", f"{tokens}, {count(event.requests, 'request')}, {plain(event.cost)} USD"),
            ("attempts", f"{event.attempts}, the first {moment(event.attempted_at)} UTC"),
            ("quarantined", f"{moment(event.answered_at)} UTC" + (", in conflict" if event.conflict else "")),
            ("why", event.answer or ""),
            ("seen before", event.failure or "nothing"),
            ("event", brief(event.payload or "", 4000)),
        )
    )


def _short(ids: Sequence[str]) -> int:
    """How much of the ids is enough to tell them apart: at least ten characters."""
    return next((n for n in range(10, 67) if len({text[:n] for text in ids}) == len(set(ids))), 67)
