"""An alarm, and how its sentence says names and amounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from reconciler.ledger.balance import Whose
from reconciler.model.money import plain

LONGEST_NAME = 60
"""So much of a name stands in a sentence."""


@dataclass(frozen=True)
class Alarm:
    """Something that a person should look at.

    Attributes:
        kind: one word.
        message: one sentence or more: who, how much, why, and what to do.
        extent: how much of it there is: events, buckets or rows.
        cost: how much it is in USD. More of either than at any time since an acknowledgement rings again.
    """

    kind: str
    message: str
    extent: Decimal = Decimal(1)
    cost: Decimal = Decimal(0)


def exact(amount: Decimal) -> str:
    """An amount, exact: who reads an alarm may have to invoice it."""
    return f"{plain(amount)} USD"


def whose(names: Sequence[str], costs: Sequence[Decimal], *, in_part: bool = False) -> str:
    """The first few by their cost, such as `acme (62.5 USD), globex (1 USD)`; `at least 62.5 USD` if that is a part."""
    least = "at least " if in_part else ""
    return ", ".join(f"{short(name)} ({least}{exact(cost)})" for name, cost in zip(names, costs, strict=True))


def most_of(who: Whose | None) -> str:
    """Such as `, most of it of acme (62.5 USD), globex (1 USD)`; nothing if no look has kept whose it is."""
    return f", most of it of {whose(who.customers, who.costs)}" if who else ""


def short(name: str) -> str:
    """A name as a sentence has it: a huge one is cut, and there may be none."""
    return (name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…") or "no name"
