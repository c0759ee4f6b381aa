"""What a repair does, or would do: events planned again, conflicts, and what is left to people. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from reconciler.model.money import plain, total
from reconciler.verify.findings import Kind, Leg


@dataclass
class Some:
    """Events, and their cost in USD."""

    events: int = 0
    cost: Decimal = field(default_factory=Decimal)

    def add(self, events: int, cost: Decimal) -> None:
        """Count more of them."""
        self.events += events
        self.cost = total([self.cost, cost])

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"events": self.events, "cost": plain(self.cost)}


@dataclass
class Mended:
    """What a repair of one meter comes to.

    Attributes:
        is_dry: whether nothing was written: this is the plan.
        asks_again: whether Lago is asked once more before anything is sent, as it would count a repetition twice.
        again: those that Lago lacks: planned again as they were sent.
        late: those of them from before the present period of their subscription: the gate may hold them.
        waiting: those that it lacks and may yet show: it shows nothing that it took later, either.
        conflicts: those that Lago holds otherwise.
        examples: ids of conflicts, each with what differs; at most `SHOWN`.
        passed_over: those that another process was quicker with; the next verification sees them again.
    """

    is_dry: bool = False
    asks_again: bool = False
    again: Some = field(default_factory=Some)
    late: Some = field(default_factory=Some)
    waiting: Some = field(default_factory=Some)
    conflicts: Some = field(default_factory=Some)
    examples: list[str] = field(default_factory=list)
    passed_over: int = 0

    SHOWN = 20

    def show(self, example: str) -> None:
        """Keep a conflict as an example, if there are few."""
        if len(self.examples) < self.SHOWN:
            self.examples.append(example)

    @property
    def is_nothing(self) -> bool:
        """Whether there was nothing to repair."""
        return not (self.again.events or self.waiting.events or self.conflicts.events or self.passed_over)

    def as_json(self, legs: Sequence[Leg]) -> dict[str, Any]:
        """Plain values, with what the legs found that a repair leaves to people."""
        return {
            "dry_run": self.is_dry,
            "planned_again": self.again.as_json(),
            "before_the_present_period": self.late.as_json(),
            "waiting": self.waiting.as_json(),
            "conflicts": self.conflicts.as_json() | {"examples": self.examples},
            "passed_over": self.passed_over,
            "left": [
                {"leg": leg.name, "kind": kind.name, "count": number, "amount": plain(amount), "means": kind.means}
                for leg, kind, number, amount in left(legs)
            ],
        }


def left(legs: Sequence[Leg]) -> Iterator[tuple[Leg, Kind, int, Decimal]]:
    """What a repair can't mend, though a person should look at it."""
    for leg in legs:
        for kind, (number, amount) in leg.sums.items():
            if kind.drift and not kind.is_mended:
                yield leg, kind, number, amount
