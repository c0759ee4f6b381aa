"""What becomes of a subscription: idempotent creation, plan changes, starts, ends."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, make_metric, make_plan, post_subscription, send, subscribe, units


def show(api: Api, status: str = "active", external_id: str = "sub") -> dict[str, Any]:
    response = api.get(f"subscriptions/{external_id}", status=status)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()["subscription"]
    return shown


@pytest.fixture
def plans(timed: Api) -> Api:
    """Plans with one metric in common: `p` for 10 dollars, `better` for 20, `cheaper` for 5."""
    metric = make_metric(timed)
    for code, amount in ("p", 1000), ("better", 2000), ("cheaper", 500):
        make_plan(timed, charge(metric), code=code, amount_cents=amount)
    return timed


def test_the_mandatory_fields(plans: Api) -> None:
    assert post_subscription(plans, external_customer_id="").json() == invalid(
        {"external_customer_id": ["value_is_mandatory"]}
    )
    assert post_subscription(plans, " ").json() == invalid({"external_id": ["value_is_mandatory"]})
    assert post_subscription(plans, billing_time="monthly").json() == invalid({"billing_time": ["value_is_invalid"]})
    assert post_subscription(plans, subscription_at="soon").json() == invalid({"subscription_at": ["invalid_date"]})
    assert post_subscription(plans, plan_code="none").json()["code"] == "plan_not_found"


def test_overrides_need_a_licence(plans: Api) -> None:
    refused = post_subscription(plans, plan_overrides={"amount_cents": 1})
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_unavailable")


def test_an_external_id_is_free_while_its_holder_has_yet_to_start(plans: Api) -> None:
    subscribe(plans, subscription_at="2026-06-01T00:00:00Z")
    assert subscribe(plans, external_customer_id="rival")["status"] == "active"
    taken = invalid({"external_id": ["value_already_exist"]})
    assert post_subscription(plans, external_customer_id="third").json() == taken
    assert plans.get("customers/third").status_code == 404


def test_a_better_plan_replaces_the_old_one_at_once(plans: Api, clock: Clock) -> None:
    first = subscribe(plans, subscription_at="2026-05-01T00:00:00Z")
    send(plans, 1, at="2026-05-10T00:00:00Z")
    better = subscribe(plans, plan_code="better")
    assert (better["status"], better["previous_plan_code"], better["started_at"]) == (
        "active",
        "p",
        "2026-05-15T12:00:00.000Z",
    )
    assert better["subscription_at"] == first["subscription_at"]
    old = show(plans, "terminated")
    assert (old["lago_id"], old["next_plan_code"]) == (first["lago_id"], "better")
    clock.forward(seconds=1)
    send(plans, 10, at="2026-05-15T12:00:01Z")
    assert units(plans) == "10.0"  # what came before is the old one's


def test_a_cheaper_plan_waits_for_the_end_of_the_period(plans: Api, clock: Clock) -> None:
    first = subscribe(plans, subscription_at="2026-05-01T00:00:00Z")
    answer = subscribe(plans, plan_code="cheaper")
    assert (answer["lago_id"], answer["plan_code"], answer["next_plan_code"], answer["downgrade_plan_date"]) == (
        first["lago_id"],
        "p",
        "cheaper",
        "2026-06-01",
    )
    waiting = show(plans, "pending")
    assert (waiting["plan_code"], waiting["started_at"]) == ("cheaper", None)
    assert waiting["current_billing_period_started_at"] is None
    clock.put("2026-06-01T00:09:59Z")
    assert show(plans)["plan_code"] == "p"
    clock.put("2026-06-01T00:10:00Z")
    changed = show(plans)
    assert (changed["plan_code"], changed["started_at"]) == ("cheaper", "2026-06-01T00:10:00.000Z")
    send(plans, 1, at="2026-06-01T00:09:59Z")  # in neither
    send(plans, 10, at="2026-06-01T00:10:00Z")
    assert units(plans) == "10.0"


def test_a_second_thought_cancels_the_cheaper_plan(plans: Api) -> None:
    subscribe(plans)
    subscribe(plans, plan_code="cheaper")
    subscribe(plans, plan_code="better")
    assert show(plans)["plan_code"] == "better"
    assert show(plans, "canceled")["plan_code"] == "cheaper"
    assert plans.get("subscriptions/sub", status="pending").status_code == 404


def test_of_a_subscription_that_has_yet_to_start_only_the_plan_changes(plans: Api) -> None:
    first = subscribe(plans, subscription_at="2026-06-01T00:00:00Z")
    for code in ("better", "cheaper"):
        changed = subscribe(plans, plan_code=code)
        assert (changed["lago_id"], changed["status"], changed["plan_code"]) == (first["lago_id"], "pending", code)


def test_a_start_today_is_active_even_if_it_is_later(plans: Api) -> None:
    made = subscribe(plans, subscription_at="2026-05-15T20:00:00Z")
    assert (made["status"], made["started_at"]) == ("active", "2026-05-15T20:00:00.000Z")


def test_a_later_start_comes_within_five_minutes_of_its_day(plans: Api, clock: Clock) -> None:
    subscribe(plans, subscription_at="2026-06-02T15:00:00Z")
    clock.put("2026-06-01T23:59:59Z")
    assert show(plans, "pending")["started_at"] is None
    clock.put("2026-06-02T00:00:00Z")
    assert show(plans)["started_at"] == "2026-06-02T00:00:00.000Z"


def test_events_from_before_the_start_are_taken_and_do_not_count(plans: Api, clock: Clock) -> None:
    subscribe(plans, subscription_at="2026-05-20T00:00:00Z")
    send(plans, 1, at="2026-05-19T00:00:00Z")
    send(plans, 10, at="2026-05-21T00:00:00Z")
    refused = plans.get("customers/acme/current_usage", external_subscription_id="sub")
    assert (refused.status_code, refused.json()["code"]) == (405, "no_active_subscription")
    clock.put("2026-05-21T12:00:00Z")
    assert units(plans) == "10.0"


def test_a_subscription_made_afterwards_counts_the_events_since_its_start(plans: Api) -> None:
    send(plans, 1, at="2026-05-10T00:00:00Z")
    send(plans, 10, at="2026-05-12T00:00:00Z")
    subscribe(plans, subscription_at="2026-05-11T00:00:00Z")
    assert units(plans) == "10.0"


def test_it_ends_on_its_last_day(plans: Api, clock: Clock) -> None:
    made = subscribe(plans, ending_at="2026-05-20T18:00:00Z")
    assert made["ending_at"] == "2026-05-20T18:00:00Z"
    clock.put("2026-05-20T00:04:59Z")
    assert show(plans)["status"] == "active"
    clock.put("2026-05-20T00:05:00Z")
    assert show(plans, "terminated")["terminated_at"] == "2026-05-20T00:05:00Z"


@pytest.mark.parametrize("ending_at", ["2026-05-15T23:00:00Z", "2026-05-01", "never"])
def test_an_end_is_after_today_and_after_the_start(plans: Api, ending_at: str) -> None:
    wrong = invalid({"ending_at": ["invalid_date"]})
    assert post_subscription(plans, ending_at=ending_at).json() == wrong
    subscribe(plans)
    put = plans.client.put("subscriptions/sub", json={"subscription": {"ending_at": ending_at}})
    assert put.json() == wrong


def test_its_name_and_end_can_be_changed(plans: Api) -> None:
    subscribe(plans, name="Old")
    body = {"subscription": {"name": "New", "ending_at": "2026-12-31T00:00:00Z"}}
    changed = plans.client.put("subscriptions/sub", json=body).json()["subscription"]
    assert (changed["name"], changed["ending_at"]) == ("New", "2026-12-31T00:00:00Z")
    assert show(plans) == changed


def test_a_start_that_has_not_come_can_be_moved(plans: Api) -> None:
    subscribe(plans, subscription_at="2026-06-01T00:00:00Z")

    def move(to: str) -> dict[str, Any]:
        body = {"subscription": {"subscription_at": to}}
        moved: dict[str, Any] = plans.client.put("subscriptions/sub?status=pending", json=body).json()["subscription"]
        return moved

    assert move("2026-07-01T00:00:00Z")["status"] == "pending"
    started = move("2026-05-02T00:00:00Z")
    assert (started["status"], started["started_at"]) == ("active", "2026-05-02T00:00:00.000Z")


def test_ending_a_subscription_cancels_what_was_to_follow(plans: Api) -> None:
    subscribe(plans)
    subscribe(plans, plan_code="cheaper")
    assert plans.client.delete("subscriptions/sub").json()["subscription"]["status"] == "terminated"
    assert show(plans, "canceled")["plan_code"] == "cheaper"


def test_a_pending_one_is_canceled(plans: Api) -> None:
    subscribe(plans, subscription_at="2026-06-01T00:00:00Z")
    assert plans.client.delete("subscriptions/sub").status_code == 404
    canceled = plans.client.delete("subscriptions/sub?status=pending").json()["subscription"]
    assert (canceled["status"], canceled["canceled_at"]) == ("canceled", "2026-05-15T12:00:00Z")


def test_statuses_can_be_listed_together(plans: Api) -> None:
    subscribe(plans, "a")
    subscribe(plans, "b", subscription_at="2026-06-01T00:00:00Z")
    subscribe(plans, "c")
    plans.client.delete("subscriptions/c")

    def listed(*statuses: str, **query: str) -> list[str]:
        found = plans.client.get("subscriptions", params={"status[]": list(statuses), **query}).json()
        return [one["external_id"] for one in found["subscriptions"]]

    assert listed() == ["a"]
    assert listed("pending", "terminated") == ["b", "c"]
    assert listed(plan_code="better") == []
    assert listed(external_customer_id="acme") == ["a"]
