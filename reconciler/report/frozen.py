"""Frozen buckets and credits as programs get them."""

from typing import Any

from reconciler.ledger.credit import Credit, Entry, FrozenBucket
from reconciler.model.money import plain
from reconciler.report.summary import iso

COLUMNS = (
    "id", "meter", "window", "customer", "model", "cost", "input_tokens", "output_tokens", "requests", "billed_cost",
    "source_cost", "accepted_cost",
)  # fmt: skip
"""The names of `frozen_bucket`, for CSV."""


def frozen_bucket(bucket: FrozenBucket) -> dict[str, Any]:
    """By how much it is below: times as ISO text in UTC, costs as decimal text in USD."""
    return _entry(bucket) | {
        "billed_cost": plain(bucket.billed_cost),
        "source_cost": plain(bucket.source_cost),
        "accepted_cost": plain(bucket.accepted_cost),
    }


def credit(given: Credit) -> dict[str, Any]:
    """How much was credited: times as ISO text in UTC, cost as decimal text in USD."""
    return _entry(given) | {
        "accepted_at": iso(given.accepted_at),
        "accepted_by": given.accepted_by,
        "reason": given.reason,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "meter": entry.meter,
        "window": iso(entry.window_start),
        "customer": entry.customer,
        "model": entry.model,
        "cost": plain(entry.cost),
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "requests": entry.requests,
    }
