"""What a rebuild has found and done, for people."""

from collections.abc import Iterable

from reconciler.cli import terminal
from reconciler.model.money import total, usd
from reconciler.model.words import count, minute
from reconciler.verify.rebuild.found import LACKING, Found, Part

_EVENTS = {
    "added": "unknown to the ledger: taken in",
    "accepted": "still to be sent: not sent again",
    "replaced": "planned otherwise: as Lago holds them",
    "known": "known already",
}
_LEFT = {
    "plan": "not billed yet: the next pass sends them",
    "frozen": "hold less than was billed: frozen",
    "purged": "deleted by retention",
    "unmapped": "of customers that RECONCILE_MAPPING lacks",
}


def found(seen: Iterable[Found], *, dry_run: bool) -> None:
    """Say what Lago holds of each meter, and what is to be done."""
    for each in seen:
        if each.error:
            continue
        terminal.heading(f"Meter {each.meter}: Lago's events from {minute(each.since)} on")
        terminal.facts((f"  {_events(part)}", _EVENTS[fate]) for fate, part in _of(each.events, _EVENTS))
        if not each.is_lacking:
            terminal.say("  The ledger lacks nothing.")
            continue
        if each.is_new:
            terminal.say("  The ledger does not know this meter: it is made.")
        if each.start:
            terminal.say(
                f"  It begins at {minute(each.start)}, as a --since has chosen. Passes look at earlier windows if Lago "
                "has events of them; `reconcile --since … --until …` bills the others."
            )
        if each.is_earlier:
            terminal.say("  Billing begins there from now on: nobody had chosen a start.")
        for sentence in each.agreed:
            terminal.say(f"  {sentence}.")
        if each.left:
            terminal.say("  Then the spend table has")
            terminal.facts((f"    {_buckets(part)}", _LEFT[fate]) for fate, part in _of(each.left, _LEFT))
    if dry_run:
        terminal.say("A dry run: nothing was written.")


def done(each: Found) -> None:
    """Say what was done with one meter."""
    if each.error is None:
        parts = [each.events[fate] for fate in LACKING if fate in each.events]
        number, cost = sum(part.number for part in parts), total(part.cost for part in parts)
        terminal.say(f"Meter {each.meter}: {count(number, 'event')} taken in, {usd(cost)} USD. Run `reconcile` now.")


def odd(found: Iterable[Found]) -> None:
    """Say on standard error what a person should look at, and what can't be done."""
    for each in found:
        sentences = list(each.warnings)
        if each.strange:
            sentences.append(
                f"{count(each.strange, 'event')} under the name of this meter can't be from a ledger of it, such as "
                f"{each.example}: the id does not follow from what it bills. Left out; find out who sent them."
            )
        if part := each.events.get("copied"):
            sentences.append(f"{_events(part)} more than once in Lago: `reconcile verify` says which count.")
        if part := each.events.get("differing"):
            sentences.append(f"{_events(part)} otherwise than Lago took them: `reconcile verify --repair` shows how.")
        if part := each.events.get("discarded"):
            sentences.append(f"{_events(part)} in Lago though a person gave them up: `reconcile verify` lists them.")
        if each.earlier:
            sentences.append(f"{count(each.earlier, 'event')} of windows before --since: left out.")
        if each.before:
            sentences.append(
                f"Lago holds events of it from before --since, such as of {minute(each.before)}. What comes late for "
                "windows before --since is never billed: if billing began earlier, choose an earlier one."
            )
        if part := each.callback:
            sentences.append(
                f"LiteLLM's callback has sent {_events(part)} from {minute(part.first)} on, which no cut-over in this "
                "ledger counts as billed: a pass bills that usage once more. If there was a cut-over, let no pass run "
                "before `reconcile cutover` with its --at and --since."
            )
        for sentence in sentences:
            terminal.say(f"! Meter {each.meter}: {sentence}", terminal.LOOK, stderr=True)
        failed(each)


def failed(found: Found) -> None:
    """Say on standard error what can't or could not be done with a meter."""
    if found.error:
        terminal.complain(f"Meter {found.meter}: {found.error}")


def _of(parts: dict[str, Part], names: dict[str, str]) -> list[tuple[str, Part]]:
    return [(fate, parts[fate]) for fate in names if fate in parts]


def _events(part: Part) -> str:
    return f"{count(part.number, 'event')}, {usd(part.cost)} USD"


def _buckets(part: Part) -> str:
    return f"{count(part.number, 'bucket')}, {usd(part.cost)} USD, the first of {minute(part.first)}"
