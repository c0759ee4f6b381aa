"""The metadata of plans."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, invoices, make_metric, make_plan, post_plan, send, subscribe

TOO_LONG = "value for key 'team' must be empty or a String up to 255 characters"


@pytest.fixture
def plans(timed: Api) -> Api:
    make_plan(timed)
    return timed


def ask(api: Api, method: str, path: str = "", **body: Any) -> tuple[int, Any]:
    response = api.client.request(method, f"plans/p/metadata{path}", json=body)
    answer = response.json()
    return response.status_code, answer.get("metadata") if response.status_code == 200 else answer["code"]


def shown(api: Api) -> dict[str, Any]:
    plan: dict[str, Any] = api.get("plans/p").json()["plan"]
    return plan


def test_a_plan_tells_of_its_metadata_once_it_has_some(plans: Api) -> None:
    assert "metadata" not in shown(plans)
    assert ask(plans, "POST", metadata={}) == (200, {})
    assert shown(plans)["metadata"] == {}
    assert ask(plans, "DELETE") == (200, None)
    assert "metadata" not in shown(plans)


def test_it_can_be_made_and_changed_with_its_plan(timed: Api) -> None:
    assert make_plan(timed, metadata={"team": "a", "tier": None})["metadata"] == {"team": "a", "tier": None}
    changed = timed.client.put("plans/p", json={"plan": {"metadata": {"owner": "b"}}})
    assert changed.json()["plan"]["metadata"] == {"owner": "b"}
    kept = timed.client.put("plans/p", json={"plan": {"name": "New", "metadata": None}})
    assert kept.json()["plan"]["metadata"] == {"owner": "b"}


def test_a_post_replaces_and_a_patch_or_a_put_adds(plans: Api) -> None:
    assert ask(plans, "POST", metadata={"team": "a", "tier": "1"}) == (200, {"team": "a", "tier": "1"})
    assert ask(plans, "PATCH", metadata={"tier": "2"}) == (200, {"team": "a", "tier": "2"})
    assert ask(plans, "PUT", metadata={"owner": "b"}) == (200, {"team": "a", "tier": "2", "owner": "b"})
    assert ask(plans, "POST", metadata={"tier": "3"}) == (200, {"tier": "3"})


@pytest.mark.parametrize("body", [{}, {"metadata": None}, {"metadata": "team"}, {"metadata": ["team"]}])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_no_object_was_not_sent(plans: Api, method: str, body: dict[str, Any]) -> None:
    assert ask(plans, method, **body) == (200, None)
    assert ask(plans, "POST", metadata={"team": "a"}) == (200, {"team": "a"})
    assert ask(plans, method, **body) == (200, {"team": "a"})


def test_an_empty_patch_makes_no_metadata(plans: Api) -> None:
    assert ask(plans, "PATCH", metadata={}) == (200, None)
    assert "metadata" not in shown(plans)


def test_one_key_can_be_deleted_whether_it_is_there_or_not(plans: Api) -> None:
    assert ask(plans, "DELETE", "/team") == (404, "metadata_not_found")
    ask(plans, "POST", metadata={"team": "a", "a/b": "c"})
    assert ask(plans, "DELETE", "/other") == (200, {"team": "a", "a/b": "c"})
    assert ask(plans, "DELETE", "/a%2Fb") == (200, {"team": "a"})
    assert ask(plans, "DELETE", "/team") == (200, {})


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", ""), ("DELETE", ""), ("DELETE", "/team")])
def test_an_unknown_plan_is_not_found(timed: Api, method: str, path: str) -> None:
    assert ask(timed, method, path, metadata={"team": "a"}) == (404, "plan_not_found")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"team": "x" * 256}, TOO_LONG),
        ({"team": 1}, TOO_LONG),
        ({"team": {"name": "a"}}, TOO_LONG),
        ({"x" * 101: "a"}, f"key '{'x' * 101}' must be a String up to 100 characters"),
        ({str(number): "a" for number in range(51)}, "cannot have more than 50 keys"),
    ],
)
def test_there_is_room_for_so_much(plans: Api, metadata: dict[str, Any], message: str) -> None:
    refused = invalid({"value": [message]})
    assert plans.post("plans/p/metadata", {"metadata": metadata}).json() == refused
    assert plans.client.put("plans/p", json={"plan": {"metadata": metadata}}).json() == refused
    assert post_plan(plans, code="other", metadata=metadata).json() == refused
    assert plans.get("plans/other").status_code == 404


def test_what_is_added_counts_with_what_is_there(plans: Api) -> None:
    full = {f"{number:0100d}": "x" * 255 for number in range(50)}
    assert ask(plans, "POST", metadata=full) == (200, full)
    assert ask(plans, "PATCH", metadata={"one": "more"}) == (422, "validation_errors")
    assert shown(plans)["metadata"] == full


def test_new_metadata_has_drafts_refreshed_and_a_deleted_key_has_not(timed: Api, clock: Clock) -> None:
    timed.client.post(
        "customers", json={"customer": {"external_id": "acme", "billing_configuration": {"invoice_grace_period": 3}}}
    )
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    clock.put("2026-06-01T02:00:00Z")
    assert [one["total_amount_cents"] for one in invoices(timed)] == [0]
    send(timed, 1, at="2026-05-20T00:00:00Z")
    ask(timed, "POST", metadata={"team": "a", "tier": "1"})
    clock.forward(minutes=5)
    assert [one["total_amount_cents"] for one in invoices(timed)] == [100]
    send(timed, 2, at="2026-05-21T00:00:00Z")
    ask(timed, "DELETE", "/team")
    clock.forward(minutes=5)
    assert [one["total_amount_cents"] for one in invoices(timed)] == [100]


@pytest.mark.parametrize("value", [False, [], {}, " " * 300])
def test_what_is_blank_to_rails_is_kept(plans: Api, value: Any) -> None:
    assert ask(plans, "POST", metadata={"team": value}) == (200, {"team": value})
