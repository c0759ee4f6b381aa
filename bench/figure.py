"""A figure: what is measured, what it is held against, and whether that is good enough."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what is measured, and what it is divided by.
        traffic: busy, sparse, or empty.
        ours: seconds, megabytes, events a second, or a number.
        against: what it is divided by, in the same unit; None where the figure itself has the target.
        target: the most that the ratio, or else the figure, may be.
        unit: of `ours` and `against`.
        more_is_better: whether the target is the least instead.
    """

    what: str
    traffic: str
    ours: float
    against: float | None
    target: float
    unit: Literal["s", "MB", "/s", ""] = "s"
    more_is_better: bool = False

    @property
    def value(self) -> float:
        """What is held to the target."""
        return self.ours if self.against is None else self.ours / self.against

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target if self.more_is_better else self.value <= self.target
