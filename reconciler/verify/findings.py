"""What verification finds: how much of one side the other has, a capture rate, and where the two differ. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal
from typing import Any, Literal, NamedTuple

from reconciler.model.errors import ReconcileError
from reconciler.model.money import plain, total

WORST = 1000
"""So many single differences of a leg are kept; its sums have all."""

Reading = Literal["below 1", "at 1", "above 1", "nothing to compare"]

_DIVISION = Context(prec=28)


class Kind(NamedTuple):
    """A kind of difference.

    Attributes:
        name: one phrase; of each leg unique.
        drift: whether a person should look. What is declared, or ends by itself, is none.
        means: what it is, and what to do.
        is_mended: whether a repair does that.
    """

    name: str
    drift: bool
    means: str
    is_mended: bool = False


class Difference(NamedTuple):
    """A difference of one day (UTC) and customer.

    Attributes:
        kind: what it is.
        day: when the usage was; None if it concerns more than a day.
        customer: whose, or which subscription's.
        number: of buckets or events.
        amount: by how much, in the leg's unit; of what is lacking it is positive.
        example: such as an event's id, and what Lago holds in its stead.
    """

    kind: Kind
    day: date | None
    customer: str
    number: int
    amount: Decimal
    example: str = ""


@dataclass
class Sides:
    """What two sides say of the same, in the leg's unit."""

    expected: Decimal = field(default_factory=Decimal)
    found: Decimal = field(default_factory=Decimal)

    @property
    def lacking(self) -> Decimal:
        """By how much the second has less; negative if it has more."""
        return total([self.expected, -self.found])

    def add(self, expected: Decimal, found: Decimal) -> None:
        """Take in more."""
        self.expected, self.found = total([self.expected, expected]), total([self.found, found])


@dataclass
class Leg:
    """One comparison.

    Attributes:
        name: a letter; with an event code, if that is an earlier one.
        of: the side that should be captured.
        by: the side that should have it.
        unit: of all amounts.
        dated: what the days are: the usage's, or the first ones of billing periods.
        checked: what was compared, for people, such as "96 windows".
        days: both sides, by day (UTC).
        sums: how many of each kind, and how much.
        worst: single differences, the largest first.
        left_out: why nothing is compared, if that is as it should be.
        error: why it could not do its work.
    """

    name: str
    of: str
    by: str
    unit: str = "USD"
    dated: Literal["day", "from"] = "day"
    checked: str = "nothing"
    days: dict[date, Sides] = field(default_factory=lambda: defaultdict(Sides))
    sums: dict[Kind, tuple[int, Decimal]] = field(default_factory=dict)
    worst: list[Difference] = field(default_factory=list)
    left_out: str | None = None
    error: ReconcileError | None = None

    def count(self, kind: Kind, number: int, amount: Decimal) -> None:
        """Count differences of a kind."""
        before, sum_ = self.sums.get(kind, (0, Decimal()))
        self.sums[kind] = before + number, total([sum_, amount])

    def show(self, differences: Sequence[Difference]) -> None:
        """Show single ones, which are counted apart; the same of a day and customer are one."""
        together: dict[tuple[Kind, date | None, str], Difference] = {}
        for each in [*self.worst, *differences]:
            key = each.kind, each.day, each.customer
            if (known := together.get(key)) is None:
                together[key] = each
            else:
                amount = total([known.amount, each.amount])
                together[key] = known._replace(number=known.number + each.number, amount=amount)
        ordered = sorted(together.values(), key=lambda each: (not each.kind.drift, -abs(each.amount), each.customer))
        self.worst = ordered[:WORST]

    @property
    def sides(self) -> Sides:
        """Both sides in all."""
        days = self.days.values()
        return Sides(total(day.expected for day in days), total(day.found for day in days))

    @property
    def rate(self) -> Decimal | None:
        """The capture rate; None if there is nothing to capture."""
        sides = self.sides
        return _DIVISION.divide(sides.found, sides.expected) if sides.expected else None

    @property
    def reading(self) -> Reading:
        """How the two sides compare, exactly."""
        sides = self.sides
        if sides.expected == sides.found:
            return "at 1" if sides.expected else "nothing to compare"
        return "below 1" if sides.found < sides.expected else "above 1"

    @property
    def rate_shown(self) -> str:
        """The rate for people: never 1 where the sides differ."""
        rate = self.rate
        if rate is None or self.reading == "at 1":
            return "1" if rate else "-"
        text = f"{rate:.6f}"
        return {"1.000000": ">0.999999" if self.reading == "below 1" else "<1.000001"}.get(text, text)

    @property
    def drifts(self) -> bool:
        """Whether a person should look."""
        return any(kind.drift for kind in self.sums)

    def as_json(self) -> dict[str, Any]:
        """Plain values: amounts as decimal text in the leg's unit."""
        sides, rate = self.sides, self.rate
        return {
            "leg": self.name,
            "of": self.of,
            "by": self.by,
            "unit": self.unit,
            "checked": self.checked,
            "expected": plain(sides.expected),
            "found": plain(sides.found),
            "rate": None if rate is None else plain(rate),
            "reading": self.reading,
            "drift": self.drifts,
            "left_out": self.left_out,
            "error": str(self.error) if self.error else None,
            "days": [
                {"day": day.isoformat(), "expected": plain(of_day.expected), "found": plain(of_day.found)}
                for day, of_day in sorted(self.days.items())
            ],
            "kinds": [
                {"kind": kind.name, "drift": kind.drift, "means": kind.means, "count": count, "amount": plain(amount)}
                for kind, (count, amount) in self.sums.items()
            ],
            "differences": [
                {
                    "kind": each.kind.name,
                    "day": each.day.isoformat() if each.day else None,
                    "customer": each.customer,
                    "count": each.number,
                    "amount": plain(each.amount),
                    "example": each.example,
                }
                for each in self.worst
            ],
        }
