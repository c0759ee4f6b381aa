"""What the ledger says that Lago has accepted: batches, and their events as they were sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from json import loads
from typing import Any, NamedTuple


class Batch(NamedTuple):
    """An accepted batch, as it was when its events were asked for.

    Attributes:
        id: its number.
        attempts: how often it was sent; with its state and size it tells whether anything has happened to it since.
        events: how many it carries.
        answered_at: when it was accepted.
        answer: how it came to be accepted, if not by being sent.
        is_verified: whether Lago was seen before to hold all of it as it was sent.
    """

    id: int
    attempts: int
    events: int
    answered_at: datetime
    answer: str | None
    is_verified: bool


@dataclass(frozen=True)
class Event:
    """An accepted event.

    Attributes:
        batch: the number of its batch.
        place: where it is in there, from 0 on.
        transaction_id: its id in Lago.
        window_start: the start of its window.
        subscription: whose it is in Lago.
        cost: USD.
        payload: what was sent.
    """

    batch: int
    place: int
    transaction_id: str
    window_start: datetime
    subscription: str
    cost: Decimal
    payload: str

    @cached_property
    def event(self) -> dict[str, Any]:
        """The event as values."""
        event: dict[str, Any] = loads(self.payload)
        return event

    @property
    def day(self) -> date:
        """The day (UTC) of its window."""
        return self.window_start.astimezone(UTC).date()

    @property
    def moment(self) -> datetime:
        """When it counts in Lago."""
        return datetime.fromtimestamp(float(self.event["timestamp"]), UTC)

    def of(self, copies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Those of Lago's events that are under its subscription."""
        subscription = self.event.get("external_subscription_id")
        return [copy for copy in copies if copy.get("external_subscription_id") == subscription]
