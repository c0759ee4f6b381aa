"""What a dry run foresees: how many events would be sent, about how long that takes, what Lago may not bill."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from reconciler.model.money import plain, total

SECONDS_A_BATCH = 0.42
"""What a Lago on two cores takes for a batch of 100, alone (docs/delivery.md); more connections make it no quicker."""

NAMED = 5
"""So many are named."""


@dataclass(frozen=True)
class Usage:
    """Events that would be planned; costs in USD."""

    events: int = 0
    cost: Decimal = Decimal()
    first_window: datetime | None = None
    last_window: datetime | None = None

    def and_(self, other: "Usage") -> "Usage":
        """Both together."""
        firsts = [each for each in (self.first_window, other.first_window) if each]
        lasts = [each for each in (self.last_window, other.last_window) if each]
        return Usage(
            self.events + other.events,
            total([self.cost, other.cost]),
            min(firsts, default=None),
            max(lasts, default=None),
        )


@dataclass(frozen=True)
class Foreseen:
    """What would become of what would be planned.

    Attributes:
        events: how many events would be sent, those on their way already too.
        takes: about how long Lago takes for them.
        unsubscribed: usage of names that have no subscription in Lago.
        closed: usage that lies before the present period of its subscription: held unless a draft invoice takes it.
        unknown: of how many subscriptions Lago could not be asked.
        warnings: what the API key may not read, and what that means; a sentence each.
    """

    events: int = 0
    takes: timedelta = timedelta(0)
    unsubscribed: Mapping[str, Usage] = field(default_factory=dict)
    closed: Mapping[str, Usage] = field(default_factory=dict)
    unknown: int = 0
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values: seconds, money as decimal text in USD; of the names the first few by their cost."""
        return {
            "events_to_send": self.events,
            "seconds": round(self.takes.total_seconds(), 1),
            "unsubscribed": _plain(self.unsubscribed),
            "closed_period": _plain(self.closed),
            "subscriptions_unknown": self.unknown,
        }


def takes(events: int, batch: int, *, seconds_a_batch: float | None, connections: int, rate: float | None) -> timedelta:
    """About how long it takes to send so many events.

    Args:
        events: how many.
        batch: the most in one request.
        seconds_a_batch: what a request took of late, over so many connections; None if nothing was sent of late.
        connections: how many requests are on their way at once.
        rate: the most requests a second; None is no ceiling.
    """
    batches = -(-events // batch)
    each = SECONDS_A_BATCH if seconds_a_batch is None else seconds_a_batch / connections
    return timedelta(seconds=batches * max(each, 1 / rate if rate else 0))


def whole(some: Mapping[str, Usage]) -> Usage:
    """All of them together."""
    found = Usage()
    for usage in some.values():
        found = found.and_(usage)
    return found


def largest(some: Mapping[str, Usage]) -> list[tuple[str, Usage]]:
    """The first few by their cost."""
    return sorted(some.items(), key=lambda pair: pair[1].cost, reverse=True)[:NAMED]


def _plain(some: Mapping[str, Usage]) -> dict[str, Any]:
    usage = whole(some)
    named = [
        {"external_id": name[:200], "events": each.events, "cost": plain(each.cost)} for name, each in largest(some)
    ]
    return {"subscriptions": len(some), "events": usage.events, "cost": plain(usage.cost), "largest": named}
