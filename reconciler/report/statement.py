"""A statement for one customer: what is billed, and why. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from reconciler.ledger.credit import Credit
from reconciler.model.errors import ReconcileError
from reconciler.model.money import plain, total
from reconciler.report.closing import Kept
from reconciler.report.customers import plain_value
from reconciler.report.events import Event
from reconciler.report.frozen import credit
from reconciler.report.summary import iso


@dataclass(frozen=True)
class Difference:
    """Why the source and what is billed differ.

    Attributes:
        why: one phrase.
        means: what it is, and what to do.
        buckets: how many.
        cost: source - billed, USD.
    """

    why: str
    means: str
    buckets: int
    cost: Decimal

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: plain_value(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Figures:
    """What the source says, what is billed of it, and what has become of that. All costs are exact USD.

    Attributes:
        requests: billable rows of the source; likewise its tokens and cost.
        billed_requests: of events and what was taken over, less credits; likewise its tokens and cost.
        events: how many.
        events_cost: theirs, of which the states' costs are parts.
        taken_over_cost: what LiteLLM's callback has billed, taken over at a cut-over.
        credited_cost: what a person has credited in Lago by hand.
        unpriced_rows: billable rows of models without a price.
        excluded_rows: left out by RECONCILE_EXCLUDE or RECONCILE_CACHE_HITS.
        failed_rows: failures that cost nothing.
        suspect_rows: with negative, NaN or infinite figures.
        differences: why source and billed differ.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = field(default_factory=Decimal)
    billed_requests: int = 0
    billed_input_tokens: int = 0
    billed_output_tokens: int = 0
    billed_cost: Decimal = field(default_factory=Decimal)
    events: int = 0
    events_cost: Decimal = field(default_factory=Decimal)
    taken_over_cost: Decimal = field(default_factory=Decimal)
    credited_cost: Decimal = field(default_factory=Decimal)
    accepted_cost: Decimal = field(default_factory=Decimal)
    planned_cost: Decimal = field(default_factory=Decimal)
    held_cost: Decimal = field(default_factory=Decimal)
    quarantined_cost: Decimal = field(default_factory=Decimal)
    discarded_cost: Decimal = field(default_factory=Decimal)
    unpriced_rows: int = 0
    excluded_rows: int = 0
    excluded_cost: Decimal = field(default_factory=Decimal)
    failed_rows: int = 0
    suspect_rows: int = 0
    differences: tuple[Difference, ...] = ()

    def plus(self, other: "Figures") -> "Figures":
        """Both together."""
        added = {each.name: _sum(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)}
        return Figures(**added)

    @property
    def differs_cost(self) -> Decimal:
        """Source - billed."""
        return total([self.cost, -self.billed_cost])

    def as_json(self) -> dict[str, Any]:
        """Plain values: costs as decimal text."""
        plain_ones = {name: plain_value(value) for name, value in vars(self).items() if name != "differences"}
        differences = [each.as_json() for each in self.differences]
        return plain_ones | {"differs_cost": plain(self.differs_cost), "differences": differences}


class HasFigures(Protocol):
    """Something whose figures can be summed."""

    @property
    def figures(self) -> Figures:
        """What it comes to."""
        ...


Summed = TypeVar("Summed", bound=HasFigures)


class Sums:
    """Sums figures as they go by."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.figures = Figures()

    def over(self, them: Iterable[Summed]) -> Iterator[Summed]:
        """Each of them, once it is summed."""
        for each in them:
            self.figures = self.figures.plus(each.figures)
            yield each


@dataclass(frozen=True)
class Line:
    """One day (UTC) and model; a name longer than 200 characters is cut and says so."""

    meter: str
    day: date
    model: str
    figures: Figures

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"meter": self.meter, "day": self.day.isoformat(), "model": self.model, **self.figures.as_json()}

    def as_csv(self) -> dict[str, Any]:
        """The same, the reasons of a difference as one text."""
        return self.as_json() | {"differences": "; ".join(each.why for each in self.figures.differences)}


COLUMNS = ("meter", "day", "model", *Figures().as_json())
"""The names of `Line.as_csv`."""


@dataclass(frozen=True)
class Counted:
    """What Lago counts of one period of a subscription, beside what was sent to it.

    Attributes:
        subscription: its external id.
        since: the period's begin.
        until: its end; None of the present one.
        unit: of the amounts: USD, a property's name, or events.
        sent_events: how many events were sent of it, whoever used them.
        sent: what they come to.
        own_events: how many of them are this customer's.
        own: what these come to.
        counted_events: how many Lago counts.
        counted: what they come to.
        why: what it means that Lago counts something else; None if it does not.
        means: the same at length, with what to do.
    """

    subscription: str
    since: datetime
    until: datetime | None
    unit: str
    sent_events: int
    sent: Decimal
    own_events: int
    own: Decimal
    counted_events: int
    counted: Decimal
    why: str | None
    means: str | None

    def as_json(self) -> dict[str, Any]:
        """Plain values: amounts as decimal text in the unit."""
        return {name: plain_value(value) for name, value in vars(self).items()}


@dataclass
class Statement:
    """What one meter bills a customer, and why.

    Attributes:
        meter: its name.
        customer: who.
        since: from which window on.
        until: up to which, exclusive.
        start: when the meter's billing starts.
        settled: up to here windows are settled.
        figures: the sum of the lines.
        lines: days and models, the oldest first; to be read once.
        events: the newest first; to be read once.
        credits: those that count.
        subscriptions: whom its events went to.
        closings: the closes of these.
        counted: what Lago counts of these.
        error: why not all of that could be asked.
    """

    meter: str
    customer: str
    since: datetime
    until: datetime
    start: datetime
    settled: datetime
    figures: Figures
    lines: Iterator[Line]
    events: Iterator[Event]
    credits: list[Credit]
    subscriptions: list[str]
    closings: list[Kept] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)
    error: ReconcileError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the customer here."""
        return self.figures == Figures()

    def as_json(self) -> dict[str, Any]:
        """Plain values, and iterators of them for what may be long."""
        return {
            "meter": self.meter,
            "customer": self.customer,
            "since": iso(self.since),
            "until": iso(self.until),
            "settled": iso(self.settled),
            "total": self.figures.as_json(),
            "lines": (each.as_json() for each in self.lines),
            "events": (each.as_json() for each in self.events),
            "credits": [credit(each) for each in self.credits],
            "subscriptions": self.subscriptions,
            "closings": [each.as_json() for each in self.closings],
            "counted": [each.as_json() for each in self.counted],
            "error": str(self.error) if self.error else None,
        }


def _sum(one: Any, other: Any) -> Any:
    match one:
        case Decimal():
            return total([one, other])
        case tuple():
            return _joined((*one, *other))
        case _:
            return one + other


def _joined(differences: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """One a reason."""
    found: dict[str, Difference] = {}
    for each in differences:
        known = found.get(each.why)
        found[each.why] = (
            Difference(each.why, each.means, known.buckets + each.buckets, total([known.cost, each.cost]))
            if known
            else each
        )
    return tuple(found.values())
