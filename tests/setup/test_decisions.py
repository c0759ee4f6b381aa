"""What is decided without asking anybody: periods, prices, what the command line means."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.errors import UsageError
from reconciler.settings.meter import MeterSettings
from reconciler.verify.setup.offer import offer
from reconciler.verify.setup.subscribing import billed_from, period_start

METERS = [MeterSettings.model_validate({"name": name, "lago_api_event_code": name}) for name in ("cost", "tokens")]


@pytest.mark.parametrize(
    ("plan", "zone", "begins"),
    [
        ({"interval": "monthly"}, "UTC", "2026-12-01T00:00"),
        ({"interval": "monthly"}, "America/New_York", "2026-11-01T04:00"),
        ({"interval": "monthly"}, "Asia/Kolkata", "2026-11-30T18:30"),
        ({"interval": "weekly"}, "UTC", "2026-11-30T00:00"),
        ({"interval": "quarterly"}, "UTC", "2026-10-01T00:00"),
        ({"interval": "semiannual"}, "UTC", "2026-07-01T00:00"),
        ({"interval": "yearly"}, "UTC", "2026-01-01T00:00"),
        ({"interval": "yearly", "bill_charges_monthly": True}, "UTC", "2026-12-01T00:00"),
    ],
)
def test_the_present_period_begins_at_a_midnight_of_the_customer(
    plan: dict[str, object], zone: str, begins: str
) -> None:
    now = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)
    assert period_start(plan, now, ZoneInfo(zone)) == datetime.fromisoformat(begins).replace(tzinfo=UTC)


def test_prices_are_exact() -> None:
    found = offer(METERS, sums=["tokens=input_tokens"], prices=["0.075"], markup="12.5")
    cost, tokens = found.counted
    assert cost.amount("response_cost", found.markup) == Decimal("1.125")
    assert tokens.amount("input_tokens", found.markup) == Decimal("0.000000075")


@pytest.mark.parametrize(
    "asked",
    [
        {"markup": "-101"}, {"markup": "NaN"}, {"markup": "1e99"}, {"prices": ["-1"]}, {"prices": ["much"]},
        {"prices": ["0.0000000000000000000000000001"]}, {"sums": ["total_tokens"]}, {"sums": ["nobody=response_cost"]},
        {"sums": ["response_cost", "input_tokens"]}, {"plan": " "}, {"plan": "a\x1bb"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        offer(METERS, **asked)  # type: ignore[arg-type]


def test_one_code_counts_one_property() -> None:
    both = [MeterSettings.model_validate({"name": name, "lago_api_event_code": "same"}) for name in ("a", "b")]
    with pytest.raises(UsageError, match="have one event code"):
        offer(both, sums=["a=input_tokens"])


def subscription(created: str, started: str, period: str | None = None) -> dict[str, object]:
    return {"created_at": created, "started_at": started, "current_billing_period_started_at": period}


@pytest.mark.parametrize(
    ("subscriptions", "since"),
    [
        # Made within its present period, and dated back a month: nothing of before is billed.
        ([subscription("2026-12-05T00:00:00Z", "2026-11-05T00:00:00Z", "2026-12-01T00:00:00Z")], "2026-12-01T00:00"),
        # Made in a period that is over, for a customer whose days begin earlier than the organization's.
        ([subscription("2026-10-05T00:00:00Z", "2026-09-30T12:00:00Z", "2026-11-30T12:00:00Z")], "2026-09-30T12:00"),
        # An upgrade: what lies before it is in the first one's invoice.
        ([subscription("2026-12-05T00:00:00Z", "2026-12-05T00:00:00.123Z", "2026-12-05T00:00:00Z"),
          subscription("2026-12-02T00:00:00Z", "2026-12-01T00:00:00Z", None)], "2026-12-01T00:00"),
        ([subscription("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")], None),
        ([subscription("soon", "soon")], None),
    ],
)  # fmt: skip
def test_usage_is_billed_from_the_period_in_which_a_subscription_was_made(
    subscriptions: list[dict[str, object]], since: str | None
) -> None:
    expected = since and datetime.fromisoformat(since).replace(tzinfo=UTC)
    assert billed_from(subscriptions, {"interval": "monthly"}, UTC) == expected
