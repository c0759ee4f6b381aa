"""Whether Lago holds the event that we planned: value by value, numbers as decimals, whichever its store."""

from typing import Any

import pytest

from reconciler.lago.readback import differences

OURS: dict[str, Any] = {
    "transaction_id": "r1_a",
    "external_subscription_id": "acme",
    "code": "llm",
    "timestamp": "1795436099.999",
    "precise_total_amount_cents": "0.03735",
    "properties": {"input_tokens": 1250, "response_cost": "0.0003735", "model": "gpt", "customer": "a", "revision": 0},
}
HELD: dict[str, Any] = OURS | {
    "lago_id": "x",
    "timestamp": "2026-11-23T12:14:59.999Z",
    "precise_total_amount_cents": "0.03735",
    "created_at": "2026-11-23T12:20:00Z",
}


def held(**changes: Any) -> dict[str, Any]:
    return HELD | changes


def with_property(**changes: Any) -> dict[str, Any]:
    return HELD | {"properties": OURS["properties"] | changes}


EQUAL = {
    "as it is": HELD,
    "with more zeros": with_property(response_cost="0.00037350"),
    "with numbers for text": with_property(input_tokens="1250"),
    "with an exponent": with_property(response_cost=3.735e-4),
    "with further properties": with_property(added="by Lago"),
    "with zeros in its cents": held(precise_total_amount_cents="0.037350"),
    "as ClickHouse shows it": with_property(input_tokens="1250", revision="0"),
    "with another zone": held(timestamp="2026-11-23T13:14:59.999+01:00"),
}
DIFFERENT = {
    "cost": (with_property(response_cost="0.0003736"), "properties.response_cost"),
    "a missing property": (held(properties={}), "properties.model"),
    "a true for a one": (with_property(input_tokens=True), "properties.input_tokens"),
    "subscription": (held(external_subscription_id="globex"), "external_subscription_id"),
    "code": (held(code="other"), "code"),
    "a millisecond": (held(timestamp="2026-11-23T12:14:59.998Z"), "timestamp"),
    "a time without a zone": (held(timestamp="2026-11-23T12:14:59.999"), "timestamp"),
    "cents": (held(precise_total_amount_cents=None), "precise_total_amount_cents"),
}


@pytest.mark.parametrize("theirs", EQUAL.values(), ids=EQUAL)
def test_the_same_event_is_equal(theirs: dict[str, Any]) -> None:
    assert differences(OURS, theirs) == []


@pytest.mark.parametrize(("theirs", "place"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_event_differs(theirs: dict[str, Any], place: str) -> None:
    assert place in differences(OURS, theirs)


@pytest.mark.parametrize(
    ("cents", "shown"),
    [
        ("0.0012345678901234567", "0.001234567890123"),
        ("0.0034499999999999996", "0.00345"),
        ("0.0000000000000005", "0.000000000000001"),
        ("0.0000000000000001", "0.0"),
        ("1234567890123456789012345.1", "1234567890123456789012345.1"),
    ],
)
def test_cents_are_equal_to_what_lago_s_column_of_15_places_keeps_of_them(cents: str, shown: str) -> None:
    ours = OURS | {"precise_total_amount_cents": cents}
    assert differences(ours, held(precise_total_amount_cents=shown)) == []
    assert differences(ours, held(precise_total_amount_cents=f"1{shown}")) == ["precise_total_amount_cents"]


def test_cents_that_were_not_sent_are_none_or_zero() -> None:
    ours = {name: value for name, value in OURS.items() if name != "precise_total_amount_cents"}
    for shown in (None, "0.0", "0"):
        assert differences(ours, held(precise_total_amount_cents=shown)) == []
    assert differences(ours, held(precise_total_amount_cents="0.1")) == ["precise_total_amount_cents"]
