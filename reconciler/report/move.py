"""Usage that was billed to the wrong subscription: what of it can be moved, what can't, and why. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from reconciler.model.money import total
from reconciler.model.words import count
from reconciler.report.customers import plain_value
from reconciler.report.summary import iso

Fate = Literal["compensate", "redirect", "stay"]

STAYS = {
    "conflict": "An event of these buckets is in conflict. Decide about it first: `reconcile quarantine`.",
    "credited": "A credit for these buckets is on record. Undo it first: `reconcile frozen undo`.",
    "in doubt": "Nobody knows whether Lago has these events. A pass settles that, or you do: `reconcile quarantine`.",
    "other settings": "These events have other properties than the settings give now. Move them with the settings of "
    "then: RECONCILE_PROPERTIES, RECONCILE_PRECISE_CENTS, RECONCILE_EVENT_FIELD.",
}
"""Why usage can't be moved now, by the words of sql/move/misplaced.sql, and what to do."""


@dataclass(frozen=True)
class Line:
    """What there is to move of one day and model from one subscription; names longer than 200 characters are cut.

    Attributes:
        day: in UTC.
        model: which.
        subscription: whose it is now, in Lago.
        fate: `compensate`: Lago has it, so that it is taken back and billed anew; `redirect`: Lago never had it, so
            that it goes to the other subscription as it is; `stay`: it can't be moved now.
        why: a key of `STAYS` if it stays.
        events: how many events it is about.
        input_tokens: theirs, as all measures.
        output_tokens: prompt and completion tokens.
        cost: USD.
        requests: rows of the spend table.
    """

    day: date
    model: str
    subscription: str
    fate: Fate
    why: str
    events: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    requests: int

    def as_json(self) -> dict[str, Any]:
        """Plain values: the cost as decimal text."""
        return {name: plain_value(value) for name, value in vars(self).items()}


def joined(lines: Iterable[Line]) -> list[Line]:
    """One line of all that are of the same day, model, subscription and fate, in the order of these."""
    groups: dict[tuple[date, str, str, Fate, str], list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.day, line.model, line.subscription, line.fate, line.why].append(line)
    return [
        Line(
            day,
            model,
            subscription,
            fate,
            why,
            sum(line.events for line in some),
            sum(line.input_tokens for line in some),
            sum(line.output_tokens for line in some),
            total(line.cost for line in some),
            sum(line.requests for line in some),
        )
        for (day, model, subscription, fate, why), some in sorted(groups.items())
    ]


@dataclass(frozen=True)
class Doubt:
    """Events of a move that Lago will not count where they belong.

    Attributes:
        subscription: whose.
        takes_back: whether they take usage back, which Lago has invoiced there.
        why: for people.
        fate: what becomes of them.
        cure: what to do in Lago instead.
        events: how many.
        cost: how much usage that is, USD.
    """

    subscription: str
    takes_back: bool
    why: str
    fate: str
    cure: str
    events: int
    cost: Decimal

    def as_json(self) -> dict[str, Any]:
        """Plain values: the cost as decimal text."""
        return {name: plain_value(value) for name, value in vars(self).items()}


@dataclass
class Found:
    """What there is to move of one customer's usage under one meter.

    Attributes:
        meter: its name.
        customer: whose usage.
        subscription: where it is to go.
        since: from which window on.
        until: up to which, exclusive; None is all that there is.
        lines: by day, model and subscription.
        doubts: what Lago will not count of it.
        warnings: what could not be known, and what else is to be done; a sentence each.
    """

    meter: str
    customer: str
    subscription: str
    since: datetime
    until: datetime | None
    lines: Sequence[Line] = ()
    doubts: Sequence[Doubt] = ()
    warnings: list[str] = field(default_factory=list)

    @property
    def moving(self) -> list[Line]:
        """What can be moved."""
        return [line for line in self.lines if line.fate != "stay"]

    @property
    def staying(self) -> list[Line]:
        """What can't."""
        return [line for line in self.lines if line.fate == "stay"]

    @property
    def cost(self) -> Decimal:
        """What can be moved, USD."""
        return total(line.cost for line in self.moving)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "meter": self.meter,
            "customer": self.customer,
            "to": self.subscription,
            "since": iso(self.since),
            "until": iso(self.until),
            "cost": plain_value(self.cost),
            "lines": [line.as_json() for line in self.lines],
            "doubts": [doubt.as_json() for doubt in self.doubts],
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class Made:
    """What was planned.

    Attributes:
        planned: new events: two for each usage that is taken back and billed anew.
        redirected: events that Lago never had, and that go to the other subscription.
    """

    planned: int = 0
    redirected: int = 0

    @property
    def events(self) -> int:
        """How many events that is."""
        return self.planned + self.redirected

    def plus(self, other: "Made") -> "Made":
        """Both together."""
        return Made(self.planned + other.planned, self.redirected + other.redirected)


def said(made: Made) -> str:
    """What was planned, in words."""
    parts = []
    if made.planned:
        parts.append(f"{count(made.planned, 'event')} planned, half of them to take usage back")
    if made.redirected:
        parts.append(f"{count(made.redirected, 'event')} that Lago never had redirected")
    return "; ".join(parts) or "Nothing was moved"
