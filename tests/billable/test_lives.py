"""Which usage no subscription bills, where verdicts change, and why."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.delivery.billable.lives import begins_at, begun, parts
from reconciler.delivery.spans import Billed, judge


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def subscription(started: str, ended: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "status": "terminated" if ended else "active",
        "external_id": "acme",
        "external_customer_id": "acme",
        "created_at": f"{started}Z",
        "started_at": f"{started}Z",
        "terminated_at": ended and f"{ended}Z",
        "current_billing_period_started_at": None if ended else "2026-11-01T00:00:00Z",
        "current_billing_period_ending_at": None if ended else "2026-11-30T23:59:59Z",
    } | more


def why(told: list[dict[str, Any]], moment: str, billed: list[Billed] | None = None, *, was_sent: bool = False) -> Any:
    """The kind of the part that holds an event of a moment; None if it is billed."""
    kinds = [
        part.kind for part in parts(begun(told), billed, was_sent=was_sent) if part.may_hold(at(moment), at(moment))
    ]
    assert len(kinds) <= 1
    return kinds[0] if kinds else None


ACTIVE = [subscription("2026-09-10T00:00:00")]
LATER = [subscription("2026-11-20T12:07:30.250")]
ENDED = [subscription("2026-09-10T00:00:00", "2026-11-20T12:07:30")]
UPGRADED = [*LATER, subscription("2026-09-10T00:00:00", "2026-11-20T12:07:30")]
AGAIN = [subscription("2026-11-25T00:00:00"), subscription("2026-09-10T00:00:00", "2026-11-20T12:07:30")]

FINAL = [Billed(at("2026-10-01T00:00:00"), at("2026-10-31T23:59:59"), "finalized", "INV-1")]
DRAFT = [Billed(at("2026-10-01T00:00:00"), at("2026-10-31T23:59:59"), "draft", "INV-1")]
END = [Billed(at("2026-11-01T00:00:00"), at("2026-11-20T12:07:30"), "finalized", "INV-2")]


@pytest.mark.parametrize(
    ("told", "moment", "billed", "expected"),
    [
        (ACTIVE, "2026-11-01T00:14:59.999", [], None),
        (ACTIVE, "2026-10-31T23:59:59.999", [], None),  # its invoice is yet to come
        (ACTIVE, "2026-10-31T23:59:59.999", DRAFT, None),
        (ACTIVE, "2026-10-31T23:59:59.999", FINAL, "closed period"),
        (ACTIVE, "2026-10-31T23:59:59.999", None, "closed period"),  # nobody was asked
        (ACTIVE, "2026-09-09T23:59:59.999", FINAL, "began later"),
        (LATER, "2026-11-20T11:59:59.999", [], "began later"),
        (LATER, "2026-11-20T12:14:59.999", [], None),  # began in mid-window: all of it is billed
        (ENDED, "2026-11-20T11:59:59.999", [], None),  # its invoice is yet to come
        (ENDED, "2026-11-20T11:59:59.999", END, "ended"),
        (ENDED, "2026-11-20T12:14:59.999", END, "ended"),  # ended in mid-window: none of it is billed
        (UPGRADED, "2026-11-20T11:59:59.999", END, "upgraded"),
        (UPGRADED, "2026-11-20T12:14:59.999", END, None),  # upgraded in mid-window: all of it by the new plan
        (AGAIN, "2026-11-22T00:00:00", END, "ended"),
        (AGAIN, "2026-11-25T00:14:59.999", END, None),
    ],
)
def test_usage_about_to_be_sent_is_billed_where_a_pass_would_send_it(
    told: list[dict[str, Any]], moment: str, billed: list[Billed] | None, expected: str | None
) -> None:
    assert why(told, moment, billed) == expected
    if billed is not None:
        assert judge(at(moment), begun(told), billed).goes is (expected is None)


@pytest.mark.parametrize(
    ("told", "moment", "expected"),
    [
        (ACTIVE, "2026-10-31T23:59:59.999", None),
        (LATER, "2026-11-20T11:59:59.999", "began later"),
        (ENDED, "2026-11-20T11:59:59.999", None),
        (ENDED, "2026-11-20T12:14:59.999", "ended"),
        (UPGRADED, "2026-11-20T11:59:59.999", None),
        (AGAIN, "2026-11-22T00:00:00", "ended"),
    ],
)
def test_usage_sent_in_time_is_billed_where_a_subscription_lived(
    told: list[dict[str, Any]], moment: str, expected: str | None
) -> None:
    assert why(told, moment, was_sent=True) == expected


def test_a_subscription_that_is_yet_to_begin_says_when() -> None:
    pending = [{"status": "pending", "subscription_at": "2026-12-24T00:00:00Z"}]
    assert begins_at(pending) == "2026-12-24 00:00 UTC"
    assert begun(pending) == []
    assert begins_at(ACTIVE) is None
