"""Usage as it would be billed: how many events, what they cost, from when to when."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from reconciler.model.money import total

NAMED = 5
"""So many are named."""


@dataclass(frozen=True)
class Usage:
    """Events that would be planned; costs in USD, windows by their starts."""

    events: int = 0
    cost: Decimal = Decimal()
    first_window: datetime | None = None
    last_window: datetime | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    def and_(self, other: "Usage") -> "Usage":
        """Both together."""
        firsts = [each for each in (self.first_window, other.first_window) if each]
        lasts = [each for each in (self.last_window, other.last_window) if each]
        return Usage(
            self.events + other.events,
            total([self.cost, other.cost]),
            min(firsts, default=None),
            max(lasts, default=None),
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


Used = Mapping[str, Mapping[str, Usage]]
"""Usage by the external id of its subscription, and there by model."""


class Slice(NamedTuple):
    """Those events of one subscription whose timestamps lie in `[since, until)`."""

    name: str
    since: datetime
    until: datetime


def asked(slices: Sequence[Slice]) -> dict[str, list[Any]]:
    """What a statement takes of slices: a value for each of their columns."""
    names, since, until = (list(each) for each in zip(*slices, strict=True)) if slices else ([], [], [])
    return {"names": names, "slices_since": since, "slices_until": until}


def in_slices(slices: Sequence[Slice], rows: Iterable[dict[str, Any]]) -> list[Usage]:
    """The usage of each slice, of rows with a slice's number from 1 on, where it may come more than once."""
    found = [Usage() for _ in slices]
    for row in rows:
        number = row.pop("number") - 1
        found[number] = found[number].and_(Usage(**row))
    return found


Reader = Callable[[Sequence[Slice]], Sequence[Usage]]
"""Reads how much usage lies in each of some slices."""


def whole(some: Mapping[str, Usage]) -> Usage:
    """All of them together."""
    found = Usage()
    for usage in some.values():
        found = found.and_(usage)
    return found


def together(parts: Iterable[tuple[str, Usage]]) -> dict[str, Usage]:
    """Usage by name, where a name may come more than once."""
    found: dict[str, Usage] = {}
    for name, usage in parts:
        found[name] = found.get(name, Usage()).and_(usage)
    return found


def joined(*some: Used) -> dict[str, dict[str, Usage]]:
    """Usage by subscription and model, of several."""
    found: dict[str, dict[str, Usage]] = {}
    for used in some:
        for name, models in used.items():
            found[name] = together([*found.get(name, {}).items(), *models.items()])
    return found


def largest(some: Mapping[str, Usage]) -> list[tuple[str, Usage]]:
    """The first few by their cost."""
    return sorted(some.items(), key=lambda pair: pair[1].cost, reverse=True)[:NAMED]
