"""Lago's subscriptions and their times, read as values that the ledger can hold. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lagos_time(value: object) -> datetime | None:
    """A time of Lago's, in UTC; None if it is none."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def read(told: Mapping[str, Any]) -> dict[str, Any]:
    """One subscription, of whatever status, as the ledger keeps it."""
    started_at = lagos_time(told.get("started_at")) or _EPOCH
    ended = told.get("status") == "terminated"
    return {
        "status": told["status"],
        "lago_id": _text(told.get("lago_id")),
        "external_customer_id": _text(told.get("external_customer_id")),
        "created_at": lagos_time(told.get("created_at")) or started_at,
        "started_at": started_at,
        "ended_at": (lagos_time(told.get("terminated_at")) or started_at) if ended else None,
        "period_started_at": lagos_time(told.get("current_billing_period_started_at")),
        "period_ends_at": lagos_time(told.get("current_billing_period_ending_at")),
        "on_termination_invoice": _text(told.get("on_termination_invoice")),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and storable(value) else None


def storable(name: str) -> bool:
    """Whether Postgres can hold it: no NUL, no half surrogate pair."""
    return "\x00" not in name and name.encode("utf-8", "replace").decode() == name
