"""How a verification is shown to people: a line a leg, then where it differs, the worst first. Amounts are exact."""

from collections.abc import Iterator, Sequence

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import plain
from reconciler.model.words import count, moment
from reconciler.verify.findings import Kind, Leg
from reconciler.verify.mended import Mended, Some, left
from reconciler.verify.report import Report

SHOWN = 20
"""So many days or customers of a leg are listed; `--json` has more."""


def verification(found: Report) -> None:
    """Show what was found of a meter."""
    terminal.heading(f"Meter {found.meter}")
    terminal.table(("leg", "compared", "says>", "has>", "", "rate>", "reading"), map(_leg, found.legs))
    for leg in found.legs:
        _details(leg)
    terminal.say(_conclusion(found))
    if found.mended:
        for line in _repair(found.mended, found):
            terminal.say(line)


def drift(found: Report) -> None:
    """Say on standard error what a person should look at, and what could not be done: cron mails that."""
    for leg in found.legs:
        for kind, line in _kinds(leg):
            if kind.drift:
                terminal.say(f"! {found.meter}, {line}", terminal.LOOK, stderr=True)
    for error in found.errors:
        terminal.complain(str(error))


def _kinds(leg: Leg) -> Iterator[tuple[Kind, str]]:
    for kind, (number, amount) in sorted(leg.sums.items(), key=lambda each: -abs(each[1][1])):
        yield kind, f"leg {leg.name}, {kind.name}: {number:,}, {plain(abs(amount))} {leg.unit}. {kind.means}"


def _leg(leg: Leg) -> Row:
    what = f"{leg.name}. {leg.of} by {leg.by}", leg.checked
    if leg.error:
        return Row((*what, "", "", "", "", "not done"), terminal.BAD)
    if leg.left_out:
        return Row((*what, "", "", "", "", "left out"))
    sides = leg.sides
    cells = (*what, plain(sides.expected), plain(sides.found), leg.unit, leg.rate_shown, leg.reading)
    return Row(cells, terminal.LOOK if leg.drifts else "")


def _details(leg: Leg) -> None:
    if leg.left_out:
        terminal.say(f"Leg {leg.name} is left out: {leg.left_out}")
    for kind, line in _kinds(leg):
        if not kind.drift:
            terminal.say(f"- {line}")
    days, date = list(_days(leg)), f"{leg.dated} (UTC)"
    if days or leg.worst:
        terminal.heading(f"Leg {leg.name}: {leg.of} by {leg.by}")
    if days:
        terminal.table((f"  {date}", f"{leg.of}>", f"{leg.by}>", f"lacks, {leg.unit}>"), days[:SHOWN])
    if leg.worst:
        columns: Sequence[str] = ("  customer", date, "what", "number>", f"lacks, {leg.unit}>", "such as")
        terminal.table(columns, _differences(leg))
    if len(leg.worst) > SHOWN:
        terminal.say(f"  {len(leg.worst) - SHOWN:,} more; `--json` lists up to {len(leg.worst):,}.")


def _days(leg: Leg) -> Iterator[Row]:
    differing = [(day, sides) for day, sides in leg.days.items() if sides.lacking]
    for day, sides in sorted(differing, key=lambda each: -abs(each[1].lacking)):
        yield Row((f"  {day}", plain(sides.expected), plain(sides.found), plain(sides.lacking)))


def _differences(leg: Leg) -> Iterator[Row]:
    for each in leg.worst[:SHOWN]:
        day = str(each.day or "")
        yield Row(
            (f"  {each.customer}", day, each.kind.name, f"{each.number:,}", plain(each.amount), each.example),
            terminal.LOOK if each.kind.drift else "",
        )


def _conclusion(found: Report) -> str:
    if found.since is None:
        return "Nothing was verified."
    if found.verified_until is None:
        return f"No window from {moment(found.since)} UTC on is verified as a whole yet."
    return (
        f"All settled windows from {moment(found.since)} to {moment(found.verified_until)} UTC are verified: billed as "
        "the spend table has them, and held by Lago as they were sent."
    )


def _repair(mended: Mended, found: Report) -> Iterator[str]:
    """What a repair did, or would do, and what it leaves."""
    yield "A repair would do this; nothing was written:" if mended.is_dry else "Repaired:"
    is_cut_off = any(leg.name == "c" and leg.error for leg in found.legs)
    if is_cut_off:
        yield "- leg c was not done to its end: this concerns what it had read. Run it again for the rest."
    if mended.is_nothing and not is_cut_off:
        yield "- nothing: Lago holds each event that was read back as it was sent, or what differs is not ours to mend."
    if mended.again.events:
        once_more = " It asks Lago once more before that." if mended.asks_again else ""
        yield (
            f"- {_some(mended.again)} that Lago lacks: planned again, as sent before. The next pass sends what Lago "
            f"will bill.{once_more}"
        )
    if mended.late.events:
        yield (
            f"- of these {_some(mended.late)} from before the present period of a subscription: the next pass asks for "
            "its invoice. What a final one lacks it holds: see `reconcile held`."
        )
    if mended.waiting.events:
        yield (
            f"- {_some(mended.waiting)} that Lago lacks: left alone. It shows nothing yet that it took later, so its "
            "way to ClickHouse may stand still, and bring them when it runs. Verify again then."
        )
    if mended.conflicts.events:
        yield (
            f"- {_some(mended.conflicts)} that Lago holds otherwise: quarantined as conflicts. To let Lago's stand, "
            "`reconcile quarantine discard ID… --reason TEXT`, and settle the difference by hand. To send ours once "
            "more, when Lago's is gone, `reconcile quarantine retry ID…`."
        )
        yield from (f"  {example}" for example in mended.examples)
    if mended.passed_over:
        yield f"- {count(mended.passed_over, 'event')} left alone: something has happened to them meanwhile."
    for leg, kind, number, amount in left(found.legs):
        yield f"- not mended: leg {leg.name}, {kind.name}: {number:,}, {plain(abs(amount))} {leg.unit}."


def _some(some: Some) -> str:
    return f"{count(some.events, 'event')} ({plain(some.cost)} USD)"
