"""What a cut-over from LiteLLM's callback has found, for people."""

from collections.abc import Sequence

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import plain, usd
from reconciler.model.words import count, minute
from reconciler.report.summary import iso
from reconciler.verify.cutover.found import KINDS, Found, Sum, ordered

SHOWN = 20
"""So many lines of each list people are shown."""


def found(seen: Found) -> None:
    """Say what the callback has billed, and what it has not."""
    terminal.heading(
        f"Meter {seen.meter}: what LiteLLM's callback has billed under {seen.code}, from {minute(seen.since)} to "
        f"{minute(seen.at)}"
    )
    sums = ordered(seen.by("all"))
    terminal.say(f"{count(seen.events, 'event')} of the callback's in Lago.")
    terminal.table(
        ("", "requests>", "input tokens>", "output tokens>", "USD>"),
        (Row((each.kind, *_figures(each)), _style(each)) for each in sums),
    )
    for each in sums:
        terminal.say(f"- {each.kind}: {KINDS[each.kind].means}", _style(each))
    _list("Missed, by model and call type", ("model", "call type?"), seen.by("model", "missed"))
    _list("Missed, by day", ("day (UTC)",), sorted(seen.by("day", "missed"), key=lambda each: str(each.day)))
    for kind in ("twice", "doubled", "no row", "not counted"):
        _list(f"{kind.capitalize()}, by customer", ("customer",), seen.by("customer", kind))


def ended(seen: Found, *, dry_run: bool) -> None:
    """Say whether it is on record, and what comes next."""
    if seen.is_recorded:
        terminal.say(f"On record. Next: `reconcile --since {iso(seen.since)}` bills what the callback missed.")
    elif dry_run:
        terminal.say("Nothing was written.")
    else:
        terminal.say("There is nothing more to take over.")


def look(seen: Found) -> None:
    """Say on standard error what a person should look at."""
    for each in seen.needs_a_look:
        what = f"{each.kind}: {count(each.requests, 'request')}, {usd(each.cost)} USD"
        terminal.say(f"! {what}. {KINDS[each.kind].means}", terminal.LOOK, stderr=True)


def _list(title: str, columns: tuple[str, ...], sums: Sequence[Sum]) -> None:
    if not sums:
        return
    terminal.heading(title)
    terminal.table(
        (*columns, "requests>", "input tokens>", "output tokens>", "USD>"),
        (Row((*_whose(each), *_figures(each))) for each in sums[:SHOWN]),
    )
    if len(sums) > SHOWN:
        terminal.say(f"{len(sums) - SHOWN:,} more; `--json` lists up to 1,000.")


def _whose(one: Sum) -> tuple[str, ...]:
    match one.by:
        case "day":
            return (str(one.day),)
        case "customer":
            return (one.customer or "(none)",)
        case _:
            return one.model or "(none)", one.call_type or ""


def _figures(one: Sum) -> tuple[str, str, str, str]:
    return f"{one.requests:,}", f"{one.input_tokens:,}", f"{one.output_tokens:,}", plain(one.cost)


def _style(one: Sum) -> str:
    return terminal.LOOK if KINDS[one.kind].needs_a_look else ""
