"""Customers: what they were billed, and who can't be billed."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import total, usd
from reconciler.model.terms import BEGINNING
from reconciler.model.words import count, minute, moment
from reconciler.report.customers import Customer, Line, Unattributed, Unmapped

_IN_LAGO = {"ended": "has ended", "not asked": "not asked yet"}


class _Listing(NamedTuple):
    """How lines of a kind are shown: columns, one line, what it is called, what is said of none and of some."""

    columns: tuple[str, ...]
    row: Callable[[Any], Row]
    noun: str
    none: str
    cure: str = ""


def lines(kind: type[Line], found: Iterable[Line], limit: int, since: datetime) -> None:
    """List lines of one kind, at most so many, and their sum."""
    listing, left = _LISTINGS[kind], iter(found)
    number, cost = 0, Decimal()

    def rows() -> Iterator[Row]:
        nonlocal number, cost
        for line in islice(left, limit):
            number, cost = number + 1, total([cost, line.cost])
            yield listing.row(line)

    terminal.table(listing.columns, rows())
    span = f" since {minute(since)}" if since > BEGINNING else ""
    if not number:
        terminal.say(f"{listing.none}{span}.")
        return
    shown = f"{count(number, listing.noun)}{span}, {usd(cost)} USD"
    if next(left, None) is not None:
        shown = f"The first {shown}; there are more: --limit N shows N, --json or --csv all"
    terminal.say(f"{shown}.{listing.cure}")


def _customer(line: Customer) -> Row:
    parts = (line.planned_cost, line.held_cost, line.quarantined_cost, line.discarded_cost, line.taken_over_cost,
             line.credited_cost)  # fmt: skip
    other = "" if line.subscription == line.customer else line.subscription
    needs_a_look = line.status in {"none", "began later"} or line.held_cost or line.quarantined_cost
    return Row(
        (line.customer, line.meter, other, _IN_LAGO.get(line.status, line.status), f"{line.requests:,}",
         f"{line.input_tokens:,}", f"{line.output_tokens:,}", usd(line.cost), *map(usd, parts)),
        terminal.LOOK if needs_a_look else "",
    )  # fmt: skip


def _unmapped(line: Unmapped) -> Row:
    span = moment(line.first_window), moment(line.last_window)
    return Row((line.customer, line.meter, f"{line.requests:,}", usd(line.cost), *span), terminal.LOOK)


def _unattributed(line: Unattributed) -> Row:
    tokens = f"{line.input_tokens:,}", f"{line.output_tokens:,}"
    return Row((line.day.isoformat(), line.meter, line.model, f"{line.requests:,}", *tokens, usd(line.cost)))


_LISTINGS: dict[type[Line], _Listing] = {
    Customer: _Listing(
        ("customer", "meter=", "subscription?", "in Lago", "requests>", "input tokens>", "output tokens>", "USD>",
         "on its way>?", "held>?", "quarantined>?", "discarded>?", "taken over>?", "credited>?"),
        _customer, "customer", "No such customer was billed",
    ),
    Unmapped: _Listing(
        ("customer", "meter=", "requests>", "USD>", "first window (UTC)", "last window (UTC)"),
        _unmapped, "customer", "RECONCILE_MAPPING lacks no customer with usage",
        " RECONCILE_MAPPING lacks them. Add them: the next daily look bills them, `reconcile --since` at once.",
    ),
    Unattributed: _Listing(
        ("day (UTC)", "meter=", "model", "requests>", "input tokens>", "output tokens>", "USD>"),
        _unattributed, "line", "No usage is without a customer",
        " It is never billed. Let clients name a user, or charge by another column (LAGO_API_CHARGE_BY).",
    ),
}  # fmt: skip
