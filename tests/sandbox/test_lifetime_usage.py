"""Lifetime usage, as of a Lago without a licence."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, invoices, make_metric, make_plan, send, subscribe, usage

AMOUNTS = ("external_historical_usage_amount_cents", "invoiced_usage_amount_cents", "current_usage_amount_cents")


@pytest.fixture
def subscribed(timed: Api) -> dict[str, Any]:
    make_plan(timed, charge(make_metric(timed)))
    return subscribe(timed, subscription_at="2026-05-01T00:00:00Z")


def lifetime(api: Api, external_id: str = "sub") -> dict[str, Any]:
    response = api.get(f"subscriptions/{external_id}/lifetime_usage")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()["lifetime_usage"]
    return answer


def put(api: Api, cents: Any, external_id: str = "sub") -> Any:
    body = {"lifetime_usage": {"external_historical_usage_amount_cents": cents}}
    return api.client.put(f"subscriptions/{external_id}/lifetime_usage", json=body)


def test_without_a_licence_nothing_is_reckoned(timed: Api, subscribed: dict[str, Any], clock: Clock) -> None:
    send(timed, 1, at="2026-05-02T00:00:00Z")
    clock.put("2026-06-02T00:00:00Z")
    send(timed, 1, at="2026-06-01T12:00:00Z")
    assert (invoices(timed)[0]["total_amount_cents"], usage(timed)["amount_cents"]) == (100, 100)
    found = lifetime(timed)
    assert [found[name] for name in AMOUNTS] == [0, 0, 0]
    assert (found["from_datetime"], found["to_datetime"]) == ("2026-05-01T00:00:00Z", "2026-06-02T00:00:00Z")
    assert "usage_thresholds" not in found


def test_what_was_used_before_lago_is_kept_through_changes_of_plan(timed: Api, subscribed: dict[str, Any]) -> None:
    before = lifetime(timed)
    assert put(timed, 1200).json() == {"lifetime_usage": before | {AMOUNTS[0]: 1200}}
    make_plan(timed, code="better", amount_cents=100)
    better = subscribe(timed, plan_code="better")
    after = lifetime(timed)
    assert (after["lago_id"], after[AMOUNTS[0]]) == (before["lago_id"], 1200)
    assert (before["lago_subscription_id"], after["lago_subscription_id"]) == (
        subscribed["lago_id"],
        better["lago_id"],
    )


def test_it_outlives_its_subscription_and_the_next_one_has_its_own(timed: Api, subscribed: dict[str, Any]) -> None:
    put(timed, 1200)
    timed.client.delete("subscriptions/sub")
    assert lifetime(timed)[AMOUNTS[0]] == 1200
    again = subscribe(timed)
    assert (lifetime(timed)["lago_subscription_id"], lifetime(timed)[AMOUNTS[0]]) == (again["lago_id"], 0)


def test_one_that_has_yet_to_start_has_none(timed: Api, subscribed: dict[str, Any]) -> None:
    subscribe(timed, "later", subscription_at="2026-07-01T00:00:00Z")
    assert timed.get("subscriptions/later/lifetime_usage").json()["code"] == "lifetime_usage_not_found"
    assert put(timed, 1, "later").json()["code"] == "lifetime_usage_not_found"


def test_an_unknown_subscription_is_not_found_before_all_else(timed: Api, subscribed: dict[str, Any]) -> None:
    path = "subscriptions/other/lifetime_usage"
    for response in timed.get(path), put(timed, 1, "other"), timed.client.put(path, json={}):
        assert (response.status_code, response.json()["code"]) == (404, "subscription_not_found")
    assert timed.client.put("subscriptions/sub/lifetime_usage", json={}).status_code == 400


@pytest.mark.parametrize(("sent", "kept"), [(0, 0), ("7", 7), ("1e3", 1000), (1.7, 1)])
def test_it_is_a_number_of_cents(timed: Api, subscribed: dict[str, Any], sent: Any, kept: int) -> None:
    assert put(timed, sent).json()["lifetime_usage"][AMOUNTS[0]] == kept


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (-1, "value_is_out_of_range"),
        (None, "is not a number"),
        ("much", "is not a number"),
        ("", "is not a number"),
        (True, "is not a number"),
        ([1], "is not a number"),
    ],
)
def test_what_is_none_changes_nothing(timed: Api, subscribed: dict[str, Any], sent: Any, message: str) -> None:
    put(timed, 5)
    assert put(timed, sent).json() == invalid({"historical_usage_amount_cents": [message]})
    assert lifetime(timed)[AMOUNTS[0]] == 5


def test_more_than_the_column_holds_crashes_lago(timed: Api, subscribed: dict[str, Any]) -> None:
    assert put(timed, 2**63 - 1).status_code == 200
    assert put(timed, 2**63).status_code == 500


def test_it_is_changed_by_patch_as_by_put(timed: Api, subscribed: dict[str, Any]) -> None:
    body = {"lifetime_usage": {"external_historical_usage_amount_cents": 7}}
    assert timed.client.patch("subscriptions/sub/lifetime_usage", json=body).status_code == 200
    assert lifetime(timed)[AMOUNTS[0]] == 7
