"""Filters and pricing groups: which events count where."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, post_plan, send, subscribe, usage

AT = "2026-05-15T10:00:00Z"
DECLARED = [{"key": "model", "values": ["gpt", "claude"]}, {"key": "type", "values": ["input", "output"]}]


def filtered(api: Api, *filters: dict[str, Any], **fields: Any) -> None:
    """Subscribe to a plan with one charge of 1 a unit, whose filters have the amounts and values given."""
    given = [
        {"values": one["values"], "properties": {"amount": one.get("amount", "1")} | one.get("properties", {})}
        for one in filters
    ]
    make_plan(api, charge(make_metric(api, filters=DECLARED), filters=given, **fields))
    subscribe(api, subscription_at="2026-05-01T00:00:00Z")


def by_filter(api: Api) -> dict[str, str]:
    """Return the units of each filter, by its values."""
    return {
        " ".join(value for wanted in (one["values"] or {"": ["default"]}).values() for value in wanted): one["units"]
        for one in charge_usage(api)["filters"]
    }


def test_each_filter_has_an_entry_and_so_has_what_matches_none(timed: Api) -> None:
    filtered(timed, {"values": {"model": ["gpt"]}, "amount": "2"}, {"values": {"model": ["claude"]}, "amount": "3"})
    send(timed, 1, at=AT, model="gpt")
    send(timed, 10, at=AT, model="mistral")
    send(timed, 100, at=AT)
    answer = charge_usage(timed)
    assert [(one["values"], one["units"], one["amount_cents"]) for one in answer["filters"]] == [
        ({"model": ["gpt"]}, "1.0", 200),
        ({"model": ["claude"]}, "0.0", 0),
        (None, "110.0", 11_000),
    ]
    assert (answer["units"], answer["events_count"], answer["amount_cents"]) == ("111.0", 3, 11_200)


def test_the_most_specific_filter_counts(timed: Api) -> None:
    filtered(timed, {"values": {"model": ["gpt"]}}, {"values": {"model": ["gpt"], "type": ["input"]}})
    send(timed, 1, at=AT, model="gpt")
    send(timed, 10, at=AT, model="gpt", type="input")
    send(timed, 100, at=AT, model="gpt", type="output")
    send(timed, 1000, at=AT, type="input")
    assert by_filter(timed) == {"gpt": "101.0", "gpt input": "10.0", "default": "1000.0"}


def test_filters_of_several_keys_are_priced_one_by_one(timed: Api) -> None:
    filtered(
        timed,
        {"values": {"model": ["gpt"], "type": ["input"]}, "amount": "2"},
        {"values": {"model": ["gpt"], "type": ["output"]}, "amount": "3"},
        {"values": {"model": ["claude"], "type": ["input"]}, "amount": "5"},
    )
    send(timed, 1, 1, at=AT, model="gpt", type="input")
    send(timed, 1, at=AT, model="gpt", type="output")
    send(timed, 1, at=AT, model="claude", type="input")
    answer = charge_usage(timed)
    assert [(one["units"], one["amount_cents"]) for one in answer["filters"]] == [
        ("2.0", 400),
        ("1.0", 300),
        ("1.0", 500),
        ("0.0", 0),
    ]
    assert (answer["units"], answer["amount_cents"]) == ("4.0", 1200)


def test_all_values_are_those_that_the_metric_declares(timed: Api) -> None:
    filtered(timed, {"values": {"model": ["__ALL_FILTER_VALUES__"]}}, {"values": {"model": ["claude"]}})
    for value, model in (1, "gpt"), (10, "claude"), (100, "mistral"):
        send(timed, value, at=AT, model=model)
    assert by_filter(timed) == {"__ALL_FILTER_VALUES__": "1.0", "claude": "10.0", "default": "100.0"}


def test_of_two_equal_filters_the_older_counts(timed: Api) -> None:
    filtered(timed, {"values": {"model": ["gpt"]}, "amount": "2"}, {"values": {"model": ["gpt"]}, "amount": "5"})
    send(timed, 1, at=AT, model="gpt")
    assert [one["units"] for one in charge_usage(timed)["filters"]] == ["1.0", "0.0", "0.0"]


def test_filters_compare_text(timed: Api) -> None:
    metric = make_metric(timed, filters=[{"key": "size", "values": ["8", "true"]}])
    filters = [{"values": {"size": ["8"]}, "properties": {"amount": "1"}}]
    make_plan(timed, charge(metric, filters=filters))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    for number, size in enumerate([8, "8", 8.0, "08"]):
        send(timed, 10**number, at=AT, size=size)
    assert by_filter(timed)["8"] == "11.0"  # jsonb keeps 8.0 as it came


def test_an_event_counts_in_every_charge_for_its_metric(timed: Api) -> None:
    metric = make_metric(timed)
    plan = make_plan(timed, charge(metric), charge(metric, "package"))
    assert [one["code"] for one in plan["charges"]] == ["tokens", "tokens_2"]
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 3, at=AT)
    assert [one["units"] for one in usage(timed)["charges_usage"]] == ["3.0", "3.0"]


def test_undeclared_filters_are_refused(timed: Api) -> None:
    metric = make_metric(timed, filters=DECLARED)

    def refusal(values: Any) -> Any:
        one = {"values": values, "properties": {"amount": "1"}}
        return post_plan(timed, charge(metric, filters=[one])).json()

    assert refusal({"model": ["mistral"]}) == invalid({"values": ["value_is_invalid"]})
    assert refusal({"model": []}) == invalid({"values": ["value_is_mandatory"]})
    unknown = {"billable_metric_filter": ["relation_must_exist"], "values": ["value_is_invalid"]}
    assert refusal({"region": ["eu"]}) == invalid(unknown)
    assert timed.get("plans/p").status_code == 404


def test_a_filters_own_properties_are_checked(timed: Api) -> None:
    metric = make_metric(timed, filters=DECLARED)
    filters = [{"values": {"model": ["gpt"]}, "properties": {"amount": 1}}]
    refused = post_plan(timed, charge(metric, filters=filters))
    assert refused.json() == invalid({"properties": ["invalid_amount"]})


# -- pricing groups


@pytest.mark.parametrize("name", ["pricing_group_keys", "grouped_by"])
def test_groups_are_priced_one_by_one(timed: Api, name: str) -> None:
    plan = make_plan(timed, charge(make_metric(timed), properties={"amount": "0.004", name: ["model"]}))
    made = plan["charges"][0]["properties"]
    assert made["pricing_group_keys"] == made["grouped_by"] == ["model"]
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    for value, model in (1, "b"), (1, "a"), (2, "b"):
        send(timed, value, at=AT, model=model)
    send(timed, 1, at=AT, model=" ")
    send(timed, 1, at=AT)
    answer = charge_usage(timed)
    groups = [(one["grouped_by"], one["units"], one["amount_cents"]) for one in answer["grouped_usage"]]
    assert groups == [({"model": None}, "2.0", 0), ({"model": "a"}, "1.0", 0), ({"model": "b"}, "3.0", 1)]
    assert (answer["units"], answer["amount_cents"], answer["filters"]) == ("6.0", 1, [])


def test_without_events_there_is_one_group_without_values(timed: Api) -> None:
    keys = {"amount": "1", "pricing_group_keys": ["model", "type"]}
    make_plan(timed, charge(make_metric(timed), properties=keys))
    subscribe(timed)
    (group,) = charge_usage(timed)["grouped_usage"]
    assert (group["grouped_by"], group["units"]) == ({"model": None, "type": None}, "0.0")


def test_filters_and_groups_go_together(timed: Api) -> None:
    filters = {"values": {"type": ["input"]}, "amount": "2", "properties": {"pricing_group_keys": ["model"]}}
    filtered(timed, filters, properties={"amount": "1", "pricing_group_keys": ["model"]})
    send(timed, 1, at=AT, model="gpt", type="input")
    send(timed, 10, at=AT, model="gpt", type="output")
    (group,) = [one for one in charge_usage(timed)["grouped_usage"] if one["grouped_by"] == {"model": "gpt"}]
    assert [(one["values"], one["amount_cents"]) for one in group["filters"]] == [
        ({"type": ["input"]}, 200),
        (None, 1000),
    ]


def test_a_group_can_be_asked_for_by_text_only(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed), properties={"amount": "1", "pricing_group_keys": ["model"]}))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    for value, model in (1, "gpt"), (10, "claude"), (100, 4), (1000, "4"):
        send(timed, value, at=AT, model=model)
    send(timed, 10_000, at=AT)
    assert charge_usage(timed, **{"group[model]": "gpt"})["units"] == "1.0"
    assert charge_usage(timed, **{"group[model]": "4"})["units"] == "1000.0"  # jsonb's @> tells 4 from "4"
    assert charge_usage(timed, **{"group[model]": ""})["units"] == "10000.0"
    assert charge_usage(timed, filter_by_group='{"model": "claude"}')["units"] == "10.0"


def test_clickhouse_counts_zeros_in_the_filter_that_they_fall_into(ch: Api) -> None:
    filtered(ch, {"values": {"model": ["gpt"]}})
    now = ch.get("subscriptions/sub").json()["subscription"]["created_at"]
    send(ch, "1e-1", "x", at=now, model="gpt")
    send(ch, 2, at=now)
    answer = charge_usage(ch)["filters"]
    assert [(one["units"], one["events_count"]) for one in answer] == [("0.1", 2), ("2.0", 1)]
