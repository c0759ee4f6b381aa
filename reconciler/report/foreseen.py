"""What a dry run foresees: how many events would be sent, about how long that takes, what Lago may not bill."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from reconciler.report.unbillable import Outlook

SECONDS_A_BATCH = 0.42
"""What a Lago on two cores takes for a batch of 100, alone (docs/delivery.md); more connections make it no quicker."""


@dataclass(frozen=True)
class Foreseen:
    """What would become of what would be planned.

    Attributes:
        events: how many events would be sent, those on their way already too.
        takes: about how long Lago takes for them.
        outlook: what of it Lago would not bill.
    """

    events: int
    takes: timedelta
    outlook: Outlook = field(default_factory=Outlook)

    def as_json(self) -> dict[str, Any]:
        """Plain values: seconds, money as decimal text in USD."""
        return {
            "events_to_send": self.events,
            "seconds": round(self.takes.total_seconds(), 1),
            "unbillable": [each.as_json() for each in self.outlook.unbillable],
            "subscriptions_unknown": self.outlook.unknown,
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
