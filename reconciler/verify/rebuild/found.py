"""What a rebuild of one meter has found, and what it did or would do. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from reconciler.model.errors import ReconcileError
from reconciler.model.money import plain, total
from reconciler.report.summary import iso

LACKING = ("added", "accepted", "replaced")
"""What the ledger takes in."""


class Part(NamedTuple):
    """Events, or buckets, of one fate.

    Attributes:
        number: how many.
        cost: their USD.
        first: the first window.
        last: the last one, if that is known.
    """

    number: int
    cost: Decimal
    first: datetime
    last: datetime | None = None

    def and_(self, other: "Part") -> "Part":
        """Both."""
        ends = [moment for moment in (self.last, other.last) if moment]
        cost = total([self.cost, other.cost])
        return Part(self.number + other.number, cost, min(self.first, other.first), max(ends, default=None))


@dataclass
class Found:
    """What was found of one meter.

    Attributes:
        meter: its name.
        since: from which window on.
        is_new: whether the ledger does not know the meter.
        is_earlier: whether it begins earlier than it did: nobody had chosen its start.
        start: where it begins, if a `--since` has chosen that, and it is later.
        events: Lago's events of the meter, by what becomes of each (`take_in.sql`).
        earlier: how many are of windows before.
        before: the window of one that Lago holds from before, though the meter is to begin at `since`.
        callback: what LiteLLM's callback has sent besides, if a pass would bill that once more.
        strange: how many are under the meter's name, and no ledger of it can have sent them.
        example: the id of such a one.
        agreed: the terms that the ledger takes over, one sentence each.
        left: what the next passes find in the spend table, in buckets, by fate (`left.sql`).
        warnings: what could not be known.
        error: why nothing can be done.
    """

    meter: str
    since: datetime
    is_new: bool = False
    is_earlier: bool = False
    start: datetime | None = None
    events: dict[str, Part] = field(default_factory=dict)
    earlier: int = 0
    before: datetime | None = None
    callback: Part | None = None
    strange: int = 0
    example: str = ""
    agreed: list[str] = field(default_factory=list)
    left: dict[str, Part] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: ReconcileError | None = None

    @property
    def is_lacking(self) -> bool:
        """Whether there is anything to do."""
        return self.error is None and (self.is_new or self.is_earlier or any(fate in self.events for fate in LACKING))

    @property
    def exit_code(self) -> int:
        """1 or 2 if nothing can be done, 3 if a person should look, else 0."""
        if self.error:
            return self.error.exit_code
        odd = self.strange or self.before or self.callback or self.events.keys() & {"differing", "copied", "discarded"}
        return 3 if odd else 0

    def count(self, parts: Mapping[str, Part], into: dict[str, Part]) -> None:
        """Take in more parts."""
        for fate, part in parts.items():
            into[fate] = into[fate].and_(part) if fate in into else part

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC, amounts as decimal text."""
        return {
            "meter": self.meter,
            "since": iso(self.since),
            "is_new": self.is_new,
            "is_earlier": self.is_earlier,
            "start": iso(self.start),
            "events": {fate: _plain(part, "events") for fate, part in sorted(self.events.items())},
            "earlier": self.earlier,
            "before": iso(self.before),
            "callback": _plain(self.callback, "events") if self.callback else None,
            "strange": self.strange,
            "agreed": self.agreed,
            "left": {fate: _plain(part, "buckets") for fate, part in sorted(self.left.items())},
            "warnings": self.warnings,
            "error": str(self.error) if self.error else None,
            "exit_code": self.exit_code,
        }


def _plain(part: Part, unit: str) -> dict[str, Any]:
    return {unit: part.number, "cost": plain(part.cost), "first_window": iso(part.first)}
