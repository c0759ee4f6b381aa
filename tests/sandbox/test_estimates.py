"""Estimates of what an event costs at once, which is nothing that the stand-in's plans have."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, make_metric, make_plan, subscribe

NO_CHARGE = {"code": ["does_not_match_an_instant_charge"]}


@pytest.fixture
def subscribed(timed: Api, clock: Clock) -> Api:
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed)
    clock.forward(seconds=1)
    return timed


def estimate(api: Api, **fields: Any) -> Any:
    plain = {"code": "tokens", "external_subscription_id": "sub", "properties": {"value": 1}}
    event = {name: value for name, value in (plain | fields).items() if value is not ...}
    return api.post("events/estimate_fees", {"event": event})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"transaction_id": "one", "timestamp": "1778846400.5"},
        {"properties": {"value": " 1e3 "}},
        {"properties": {"value": None}},
        {"properties": ...},
        {"timestamp": ""},
        {"timestamp": False},
    ],
)
def test_no_charge_is_paid_in_advance(subscribed: Api, fields: dict[str, Any]) -> None:
    assert estimate(subscribed, **fields).json() == invalid(NO_CHARGE)
    assert subscribed.ids() == []


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"timestamp": "2026-05-15T12:00:00Z"}, {"timestamp": ["invalid_format"]}),
        ({"properties": {"value": "much"}}, {"properties": ["value_is_not_valid_number"]}),
        ({"properties": {"value": ""}}, {"properties": ["value_is_not_valid_number"]}),
    ],
)
def test_what_is_no_number_is_said_first(subscribed: Api, fields: dict[str, Any], details: dict[str, Any]) -> None:
    assert estimate(subscribed, **fields).json() == invalid(details)


@pytest.mark.parametrize("value", [True, [1], {"a": 1}])
def test_what_is_neither_text_nor_number_is_a_crash(subscribed: Api, value: Any) -> None:
    assert estimate(subscribed, properties={"value": value}).status_code == 500


def test_a_metric_that_counts_needs_no_number(subscribed: Api) -> None:
    make_metric(subscribed, "calls", "count_agg")
    assert estimate(subscribed, code="calls", properties={"value": "much"}).json() == invalid(NO_CHARGE)


def test_an_expression_has_to_fit(subscribed: Api) -> None:
    make_metric(subscribed, "sums", expression="event.properties.a + 1")
    assert estimate(subscribed, code="sums", properties={"a": 1}).json() == invalid(NO_CHARGE)
    details = estimate(subscribed, code="sums", properties={}).json()["error_details"]
    assert details.startswith("expression_evaluation_failed: ")


@pytest.mark.parametrize("code", ["other", "", ..., None])
def test_an_unknown_metric_is_not_found(subscribed: Api, code: Any) -> None:
    assert estimate(subscribed, code=code).json()["code"] == "billable_metric_not_found"


@pytest.mark.parametrize("external_id", ["other", "", ..., None])
def test_an_unknown_subscription_is_not_found_before_that(subscribed: Api, external_id: Any) -> None:
    answer = estimate(subscribed, code="other", external_subscription_id=external_id)
    assert answer.json()["code"] == "subscription_not_found"


def test_nor_is_one_that_does_not_live_now(subscribed: Api, clock: Clock) -> None:
    subscribe(subscribed, "later", subscription_at="2026-05-15T18:00:00Z")
    assert estimate(subscribed, external_subscription_id="later").status_code == 404
    clock.forward(hours=6)
    assert estimate(subscribed, external_subscription_id="later").status_code == 422
    subscribed.client.delete("subscriptions/sub")
    assert estimate(subscribed).status_code == 422
    clock.forward(seconds=1)
    assert estimate(subscribed).status_code == 404


def test_an_event_has_to_be_there(subscribed: Api) -> None:
    assert subscribed.post("events/estimate_fees", {}).status_code == 400
