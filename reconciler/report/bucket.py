"""One event, and the spend rows that its bucket is made of. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from reconciler.model.money import plain
from reconciler.report.customers import plain_value
from reconciler.report.events import Event
from reconciler.report.statement import Figures


@dataclass(frozen=True)
class SpendRow:
    """A row of the spend table, and what becomes of it.

    Attributes:
        request_id: the proxy's.
        started_at: UTC.
        verdict: `billable` or `unpriced` if it is billed, else `excluded`, `failed` or `suspect`.
        input_tokens: prompt tokens.
        output_tokens: completion tokens.
        cost: USD.
    """

    request_id: str
    started_at: datetime
    verdict: str
    input_tokens: int
    output_tokens: int
    cost: Decimal

    @property
    def is_billed(self) -> bool:
        """Whether it counts."""
        return self.verdict in {"billable", "unpriced"}

    @property
    def figures(self) -> Figures:
        """What is billed of it."""
        return Figures(1, self.input_tokens, self.output_tokens, self.cost) if self.is_billed else Figures()

    def as_json(self) -> dict[str, Any]:
        """Plain values: the time as ISO text in UTC, to the millisecond; the cost as decimal text."""
        started = f"{self.started_at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
        return {name: plain_value(value) for name, value in vars(self).items()} | {"started_at": started}


COLUMNS = ("request_id", "started_at", "verdict", "input_tokens", "output_tokens", "cost")
"""The names of `SpendRow.as_json`, for CSV."""


@dataclass(frozen=True)
class Told:
    """One event, and the rows of its bucket.

    Attributes:
        event: the event.
        events: how many events the bucket has.
        billed_cost: what they bill, less credits, USD.
        used: what the rows that count come to.
        rows: all of the bucket, the oldest first; to be read once.
    """

    event: Event
    events: int
    billed_cost: Decimal
    used: Figures
    rows: Iterator[SpendRow]

    def as_json(self) -> dict[str, Any]:
        """Plain values, and an iterator of the rows."""
        return {
            "event": self.event.as_json(),
            "bucket": {
                "events": self.events,
                "billed_cost": plain(self.billed_cost),
                "requests": self.used.requests,
                "input_tokens": self.used.input_tokens,
                "output_tokens": self.used.output_tokens,
                "cost": plain(self.used.cost),
            },
            "rows": (each.as_json() for each in self.rows),
        }
