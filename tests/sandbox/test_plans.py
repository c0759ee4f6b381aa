from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, make_metric, make_plan, post_plan, send, subscribe, usage


def test_a_plan_without_its_fields_is_unprocessable(timed: Api) -> None:
    names = ("name", "code", "interval", "amount_cents", "amount_currency", "pay_in_advance")
    details = {name: ["value_is_mandatory"] for name in names}
    assert timed.post("plans", {"plan": {"description": "nothing"}}).json() == invalid(details)


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"interval": "daily"}, {"interval": ["value_is_invalid"]}),
        ({"amount_currency": "dollars"}, {"amount_currency": ["value_is_invalid"]}),
        ({"amount_cents": -1}, {"amount_cents": ["value_is_out_of_range"]}),
    ],
)
def test_what_makes_no_sense_is_refused(timed: Api, change: dict[str, Any], details: dict[str, Any]) -> None:
    assert post_plan(timed, **change).json() == invalid(details)


@pytest.mark.parametrize(
    "change",
    [
        {"trial_period": 3},
        {"tax_codes": ["vat"]},
        {"minimum_commitment": {"amount_cents": 100}},
        {"interval": "yearly", "bill_charges_monthly": True},
        {"pay_in_advance": True, "amount_cents": 100},
    ],
)
def test_what_the_stand_in_does_not_bill_it_does_not_take(timed: Api, change: dict[str, Any]) -> None:
    assert post_plan(timed, **change).status_code == 501


@pytest.mark.parametrize(
    "change",
    [
        {"pay_in_advance": True},
        {"prorated": True},
        {"invoiceable": False},
        {"min_amount_cents": 1},
        {"tax_codes": ["vat"]},
        {"properties": {"amount": "1", "presentation_group_keys": [{"value": "model"}]}},
    ],
)
def test_nor_such_charges(timed: Api, change: dict[str, Any]) -> None:
    assert post_plan(timed, charge(make_metric(timed), **change)).status_code == 501


def put(api: Api, **fields: Any) -> dict[str, Any]:
    response = api.client.put("plans/p", json={"plan": fields})
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()["plan"]
    return changed


def test_the_charges_that_are_put_are_all_there_are(timed: Api) -> None:
    tokens, calls = make_metric(timed), make_metric(timed, "calls", "count_agg")
    first, second = make_plan(timed, charge(tokens), charge(calls))["charges"]
    kept = {"id": second["lago_id"], "charge_model": "standard", "properties": {"amount": "3"}}
    changed = put(timed, charges=[kept, charge(tokens)])["charges"]
    assert [(one["lago_id"] == second["lago_id"], one["properties"]) for one in changed] == [
        (True, {"amount": "3"}),
        (False, {"amount": "1"}),
    ]
    assert changed[1]["lago_id"] != first["lago_id"]
    assert timed.get("plans/p").json()["plan"]["charges"] == changed


def test_a_filter_that_is_put_again_keeps_its_id(timed: Api) -> None:
    metric = make_metric(timed, filters=[{"key": "model", "values": ["gpt", "claude"]}])
    one = {"values": {"model": ["gpt"]}, "properties": {"amount": "1"}}
    (made,) = make_plan(timed, charge(metric, filters=[one]))["charges"]
    other = {"values": {"model": ["claude"]}, "properties": {"amount": "9"}}
    filters = [other, one | {"properties": {"amount": "2"}}]
    (changed,) = put(timed, charges=[charge(metric, id=made["lago_id"], filters=filters)])["charges"]
    assert [(one["lago_id"] == made["filters"][0]["lago_id"], one["properties"]) for one in changed["filters"]] == [
        (False, {"amount": "9"}),
        (True, {"amount": "2"}),
    ]


def test_a_charge_alone_gets_another_code_until_somebody_subscribes(timed: Api) -> None:
    metric = make_metric(timed)
    make_plan(timed, charge(metric, code="a"), charge(metric, code="b"))

    def rename(code: str, new: str) -> Any:
        return timed.client.put(f"plans/p/charges/{code}", json={"charge": charge(metric, code=new)})

    assert rename("a", "b").json() == invalid({"code": ["value_already_exist"]})
    assert rename("a", "c").json()["charge"]["code"] == "c"
    subscribe(timed)
    assert rename("c", "d").json()["charge"]["code"] == "c"
    assert [one["code"] for one in timed.get("plans/p/charges").json()["charges"]] == ["b", "c"]


def test_with_subscribers_the_interval_stays_and_prices_change_at_once(timed: Api, clock: Clock) -> None:
    (made,) = make_plan(timed, charge(make_metric(timed)))["charges"]
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at="2026-05-15T10:00:00Z")
    assert usage(timed)["amount_cents"] == 100
    clock.forward(seconds=1)
    dearer = {"id": made["lago_id"], "charge_model": "standard", "properties": {"amount": "2"}}
    changed = put(timed, name="New", interval="weekly", charges=[dearer])
    assert (changed["name"], changed["interval"]) == ("New", "monthly")
    assert usage(timed)["amount_cents"] == 200


def test_a_deleted_plan_ends_its_subscriptions(timed: Api) -> None:
    make_plan(timed)
    subscribe(timed, "now")
    subscribe(timed, "later", subscription_at="2026-06-01T00:00:00Z")
    assert timed.client.delete("plans/p").json()["plan"]["code"] == "p"
    assert timed.get("plans/p").json()["code"] == "plan_not_found"
    assert timed.get("subscriptions/now", status="terminated").json()["subscription"]["plan_code"] == "p"
    assert timed.get("subscriptions/later", status="canceled").status_code == 200
    make_plan(timed)
