"""What closing a customer's usage has come to, in a few lines."""

from collections.abc import Iterator

from reconciler.cli import terminal
from reconciler.model.money import usd
from reconciler.model.visible import brief
from reconciler.model.words import count
from reconciler.report.closing import Closed, Closing, some, to_the_millisecond

_DECISIONS = {"held": "held", "quarantined": "quarantine"}


def closing(done: Closing) -> None:
    """Say how far the customer's usage is billed, and whether the plan may change."""
    instant = f"{to_the_millisecond(done.instant)} UTC"
    for closed in done.meters:
        for line in _lines(closed, instant):
            terminal.say(line)
    if done.exit_code == 0 and not any(closed.is_dry for closed in done.meters):
        terminal.say("Change the plan now.")


def trouble(done: Closing) -> None:
    """Say on standard error what a person should know, and why the plan must not change yet."""
    for closed in done.meters:
        for sentence in closed.warnings:
            terminal.say(f"  warning: {sentence}", terminal.LOOK, stderr=True)
        for line in _left(closed):
            terminal.say(line, terminal.LOOK, stderr=True)
        if closed.error is not None:
            terminal.complain(str(closed.error))
    if done.exit_code:
        terminal.complain("Don't change the plan yet.")


def _lines(closed: Closed, instant: str) -> Iterator[str]:
    name = f"Meter {closed.meter}"
    billed = f"{count(closed.events, 'event')} of {usd(closed.cost)} USD"
    match closed.outcome:
        case "closed":
            yield f"{name}: subscription {brief(closed.subscription or '', 200)} is billed up to {instant}"
            yield f"  {billed} since the call; Lago has all"
        case "would close":
            yield f"{name}: subscription {brief(closed.subscription or '', 200)} has {billed} to bill up to {instant}"
        case "nothing to close":
            yield f"{name}: nothing to close: {closed.nothing}."
        case "not closed":
            yield f"{name}: not closed."


def _left(closed: Closed) -> Iterator[str]:
    for state, waits in (("planned", "on their way"), ("held", "held"), ("quarantined", "refused by Lago for good")):
        if found := [each for each in closed.left if each.state == state]:
            words = next((f": {brief(each.words, 300)}" for each in found if each.words), "")
            decide = f"; `reconcile {_DECISIONS[state]}` decides" if state in _DECISIONS else ""
            yield f"  {some(found)} {waits}{decide}{words}"
