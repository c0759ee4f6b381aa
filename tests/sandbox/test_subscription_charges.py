"""The charges of subscriptions, which are their plan's."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api
from tests.sandbox.support import charge, make_metric, make_plan, subscribe

CHARGE = {"charge": {"properties": {"amount": "2"}}}
FILTER = {"filter": {"values": {"model": ["b"]}, "properties": {"amount": "2"}}}


@pytest.fixture
def made(timed: Api) -> dict[str, Any]:
    """A plan of two charges, the first with a filter; `sub` has it."""
    metric = make_metric(timed, filters=[{"key": "model", "values": ["a", "b"]}])
    filters = [{"values": {"model": ["a"]}, "properties": {"amount": "2"}}]
    plan = make_plan(timed, charge(metric, code="one", filters=filters), charge(metric, code="two"))
    subscribe(timed)
    return plan


def ask(api: Api, method: str, path: str, body: Any = None) -> tuple[int, str | None]:
    response = api.client.request(method, f"subscriptions/{path}", json=body)
    return response.status_code, response.json().get("code")


def test_they_are_the_plans(timed: Api, made: dict[str, Any]) -> None:
    one, two = made["charges"]
    page = timed.get("subscriptions/sub/charges").json()
    assert (page["charges"], page["meta"]["total_count"]) == ([two, one], 2)
    assert timed.get("subscriptions/sub/charges", per_page=1, page=2).json()["charges"] == [one]
    assert timed.get("subscriptions/sub/charges/two").json() == {"charge": two}


def test_so_are_their_filters(timed: Api, made: dict[str, Any]) -> None:
    [only] = made["charges"][0]["filters"]
    page = timed.get("subscriptions/sub/charges/one/filters").json()
    assert (page["filters"], page["meta"]["total_count"]) == ([only], 1)
    assert timed.get("subscriptions/sub/charges/two/filters").json()["filters"] == []
    assert timed.get(f"subscriptions/sub/charges/one/filters/{only['lago_id']}").json() == {"filter": only}


def test_a_change_of_plan_brings_other_charges(timed: Api, made: dict[str, Any]) -> None:
    metric = {"lago_id": made["charges"][0]["lago_billable_metric_id"]}
    make_plan(timed, charge(metric, code="three"), code="better", amount_cents=100)
    subscribe(timed, plan_code="better")
    assert [one["code"] for one in timed.get("subscriptions/sub/charges").json()["charges"]] == ["three"]
    assert ask(timed, "GET", "sub/charges/one") == (404, "charge_not_found")


@pytest.mark.parametrize("name", ["subscription_status", "status"])
def test_an_ended_subscription_is_asked_for_by_its_status(timed: Api, made: dict[str, Any], name: str) -> None:
    timed.client.delete("subscriptions/sub")
    assert ask(timed, "GET", "sub/charges/one") == (404, "subscription_not_found")
    assert ask(timed, "GET", f"sub/charges/one?{name}=terminated") == (200, None)
    assert ask(timed, "GET", f"sub/charges/one?{name}=over") == (404, "subscription_not_found")


def test_prices_of_its_own_need_a_licence(timed: Api, made: dict[str, Any]) -> None:
    [only] = made["charges"][0]["filters"]
    refused = (403, "feature_unavailable")
    assert ask(timed, "PUT", "sub/charges/one", CHARGE) == refused
    assert ask(timed, "POST", "sub/charges/one/filters", FILTER) == refused
    assert ask(timed, "PUT", f"sub/charges/one/filters/{only['lago_id']}", FILTER) == refused
    assert ask(timed, "DELETE", f"sub/charges/one/filters/{only['lago_id']}") == refused


def test_what_a_body_must_have_is_asked_for_before_the_licence(timed: Api, made: dict[str, Any]) -> None:
    [only] = made["charges"][0]["filters"]
    assert ask(timed, "PUT", "sub/charges/one", {})[0] == 400
    assert ask(timed, "POST", "sub/charges/one/filters", {})[0] == 400
    assert ask(timed, "PUT", f"sub/charges/one/filters/{only['lago_id']}", {})[0] == 400


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("other/charges/one", "subscription_not_found"),
        ("sub/charges/other", "charge_not_found"),
        ("other/charges/one/filters", "subscription_not_found"),
        ("sub/charges/other/filters", "charge_not_found"),
        ("other/charges/one/filters/x", "subscription_not_found"),
        ("sub/charges/other/filters/x", "charge_not_found"),
        ("sub/charges/one/filters/x", "charge_filter_not_found"),
    ],
)
def test_what_is_not_there_is_said_before_all_that(timed: Api, made: dict[str, Any], path: str, code: str) -> None:
    assert ask(timed, "GET", path) == (404, code)
    if path.endswith("filters"):
        assert ask(timed, "POST", path, {}) == (404, code)
    else:
        assert ask(timed, "PUT", path, {}) == (404, code)
        if path.endswith("x"):
            assert ask(timed, "DELETE", path) == (404, code)


def test_an_unknown_subscription_has_no_charges(timed: Api) -> None:
    assert ask(timed, "GET", "other/charges") == (404, "subscription_not_found")
