"""Events of the ledger, as a list and one by one."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import plain, total, usd
from reconciler.model.visible import brief
from reconciler.model.words import count, moment
from reconciler.report.events import Event

_LONGEST_WORDS = 300
_NEEDS_A_LOOK = {"quarantined", "held"}


def events(found: Iterable[Event], limit: int | None, *, none: str, more: str) -> None:
    """List events.

    Args:
        found: the newest first.
        limit: at most so many; None is all.
        none: what is said if there is none.
        more: a command that tells more of one.
    """
    number, cost, left = 0, Decimal(), iter(found)

    def rows() -> Iterator[Row]:
        nonlocal number, cost
        for event in islice(left, limit):
            number, cost = number + 1, total([cost, event.cost])
            yield _row(event)

    terminal.table(
        ("id", "meter=", "window (UTC)", "customer", "model", "USD>", "state", "since (UTC)?", "why?"), rows()
    )
    if not number:
        terminal.say(none)
        return
    shown = f"{count(number, 'event')}, {usd(cost)} USD"
    if next(left, None) is not None:
        shown = f"The newest {shown}; there are more: --limit N shows N, --json or --csv all"
    terminal.say(f"{shown}. `{more}` says more of one.")


def _row(event: Event) -> Row:
    at = event.decided_at if event.state == "discarded" else event.answered_at
    return Row(
        (event.transaction_id, event.meter, moment(event.window_start), event.customer, event.model, usd(event.cost),
         event.state, moment(at) if at else "", brief(event.why, _LONGEST_WORDS)),
        terminal.LOOK if event.state in _NEEDS_A_LOOK else "",
    )  # fmt: skip


def event(one: Event) -> None:
    """Show all of one event; its exact cost, too."""
    terminal.facts(_facts(one))


def _facts(one: Event) -> Iterator[tuple[str, str]]:
    tokens = f"{one.input_tokens:,} input and {one.output_tokens:,} output tokens"
    yield "id", one.transaction_id
    yield "meter", one.meter
    yield "window", f"{moment(one.window_start)} UTC, revision {one.revision}"
    yield "customer", one.customer
    yield "model", one.model
    yield "subscription", one.subscription
    yield "usage", f"{tokens}, {count(one.requests, 'request')}, {plain(one.cost)} USD"
    held = f", for {one.held_for}" if one.held_for else ""
    yield "state", f"{one.state}{held}{', in conflict' if one.conflict else ''}"
    if one.attempts:
        yield "attempts", f"{one.attempts}, the last {moment(one.attempted_at)} UTC"
    if one.answered_at:
        yield "since", f"{moment(one.answered_at)} UTC"
    if one.answer:
        yield "why", one.answer
    if one.failure:
        yield "seen before", one.failure
    if one.decided_at:
        yield "decided", f"{moment(one.decided_at)} UTC by {one.decided_by}: {one.reason or 'no reason given'}"
    yield "event", brief(one.payload or "", 4000)
