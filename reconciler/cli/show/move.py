"""What there is to move, and what is left to do, for people: exact amounts, since invoices follow from them."""

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import plain, total
from reconciler.model.words import count, minute
from reconciler.report.move import STAYS, Found, Line, Made, said

_FATES = {"compensate": "taken back there, billed anew", "redirect": "Lago never had it: goes at once", "stay": "stays"}


def found(seen: Found) -> None:
    """Show what would be moved, what not, and what Lago will not count."""
    until = f" to {minute(seen.until)}" if seen.until else ""
    span = f"from {minute(seen.since)}{until}"
    if not seen.lines:
        terminal.say(f"Nothing is to be moved: {span} all of {seen.customer} is billed to {seen.subscription}.")
        return
    terminal.heading(f"Meter {seen.meter}: usage of {seen.customer} that goes to {seen.subscription}, {span}")
    terminal.table(
        ("day (UTC)", "model?", "from", "events>", "input>", "output>", "USD>", "what"), map(_row, seen.lines)
    )
    events = sum(line.events for line in seen.moving)
    terminal.say(f"In all {count(events, 'event')} of {plain(seen.cost)} USD would be billed to {seen.subscription}.")


def made(done: Made) -> None:
    """Say what was planned."""
    terminal.say(f"{said(done)}. The next pass sends them; then run `reconcile verify`.")


def left(seen: Found) -> None:
    """Say on standard error what needs a look."""
    for why, means in STAYS.items():
        if some := [line for line in seen.staying if line.why == why]:
            events, cost = sum(line.events for line in some), total(line.cost for line in some)
            _look(f"{why}: {count(events, 'event')} of {plain(cost)} USD can't be moved now. {means}")
    for doubt in seen.doubts:
        what = "what takes back " if doubt.takes_back else ""
        _look(
            f"{doubt.subscription}: {what}{plain(doubt.cost)} USD ({count(doubt.events, 'event')}) will be "
            f"{doubt.fate}: {doubt.why}. {doubt.cure}"
        )
    for sentence in seen.warnings:
        _look(sentence)


def _row(line: Line) -> Row:
    what = f"{_FATES[line.fate]}: {line.why}" if line.why else _FATES[line.fate]
    return Row(
        (line.day.isoformat(), line.model, line.subscription, f"{line.events:,}", f"{line.input_tokens:,}",
         f"{line.output_tokens:,}", plain(line.cost), what),
        terminal.LOOK if line.fate == "stay" else "",
    )  # fmt: skip


def _look(sentence: str) -> None:
    terminal.say(f"! {sentence}", terminal.LOOK, stderr=True)
