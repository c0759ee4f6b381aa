"""The figures of a run: what its looks found, what its delivery did."""

from dataclasses import dataclass, field, fields
from decimal import Decimal

from reconciler.model.money import total


@dataclass
class Tally:
    """What looks found, summed: the figures of a run's summary."""

    windows: int = 0
    events_planned: int = 0
    rows: int = 0
    cost_planned: Decimal = field(default_factory=Decimal)
    unattributed_rows: int = 0
    unattributed_cost: Decimal = field(default_factory=Decimal)
    suspect_rows: int = 0
    frozen_buckets: int = 0
    unmapped_buckets: int = 0
    unmapped_cost: Decimal = field(default_factory=Decimal)
    late_rows: int = 0
    late_cost: Decimal = field(default_factory=Decimal)

    def add(self, other: "Tally") -> None:
        """Add another tally to this one."""
        for each in fields(self):
            mine, others = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, total([mine, others]) if isinstance(mine, Decimal) else mine + others)

    def planned(self) -> "Tally":
        """Only what was planned: a second look at the same windows finds the rest as the first did."""
        return Tally(events_planned=self.events_planned, rows=self.rows, cost_planned=self.cost_planned)


@dataclass
class Delivered:
    """What a delivery did, in events."""

    accepted: int = 0
    quarantined: int = 0
    held: int = 0

    def add(self, other: "Delivered") -> None:
        """Add another's counts to this one."""
        self.accepted += other.accepted
        self.quarantined += other.quarantined
        self.held += other.held
