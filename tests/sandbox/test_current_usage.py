from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import Api, event
from tests.sandbox.test_provisioning import iso, make_plan, month_start, subscribe


def moment() -> float:
    """A moment of the present period; asked for in the test, since a month may end after tests are collected."""
    return month_start().timestamp() + 1


def usage(api: Api, **query: str) -> dict[str, Any]:
    query = {"external_subscription_id": "sub", **query}
    answer: dict[str, Any] = api.get("customers/acme/current_usage", **query).json()["customer_usage"]
    return answer


def cost(transaction_id: str, value: Any, **fields: Any) -> dict[str, Any]:
    return event(transaction_id, **{"timestamp": moment(), "properties": {"response_cost": value}, **fields})


@pytest.fixture
def subscribed(api: Api) -> Api:
    make_plan(api)
    subscribe(api, subscription_at=iso(month_start()))
    return api


def test_a_charge_without_events_is_listed_with_zero(subscribed: Api) -> None:
    answer = usage(subscribed)
    (charge,) = answer["charges_usage"]
    assert (charge["units"], charge["events_count"], charge["amount_cents"]) == ("0.0", 0, 0)
    assert (charge["filters"], charge["grouped_usage"]) == ([], [])
    assert answer["from_datetime"] == iso(month_start())
    assert answer["currency"] == "USD"


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("-5", "0.0"),  # a fee is never negative
        ("007.50", "7.5"),
        (1.0, "1.0"),
        (3.5e-07, "0.00000035"),
        ("0.00000035", "0.00000035"),
        (7, "7.0"),
    ],
)
def test_plain_numbers_count(subscribed: Api, value: Any, units: str) -> None:
    subscribed.send(cost("x", value))
    (charge,) = usage(subscribed)["charges_usage"]
    assert (charge["units"], charge["events_count"]) == (units, 1)


@pytest.mark.parametrize(
    "value", ["3.5e-07", "1e3", ".5", "5.", "+5", " 5", "5\n", "1,000", "\u0665", "", True, None, [1], {}]
)
def test_anything_else_is_neither_in_the_units_nor_in_the_count(subscribed: Api, value: Any) -> None:
    assert subscribed.send(cost("x", value), cost("y", "2")).status_code == 200
    (charge,) = usage(subscribed)["charges_usage"]
    assert (charge["units"], charge["events_count"]) == ("2.0", 1)


def test_strings_and_integers_keep_every_digit(subscribed: Api) -> None:
    subscribed.send(cost("a", "0.1000000000000000000000000000000000000001"), cost("b", 10**30))
    (charge,) = usage(subscribed)["charges_usage"]
    assert charge["units"] == "1000000000000000000000000000000.1000000000000000000000000000000000000001"


def test_floats_in_json_have_a_floats_digits(subscribed: Api) -> None:
    body = b'{"event":{"transaction_id":"x","code":"llm_cost","external_subscription_id":"sub","timestamp":%d,'
    body += b'"properties":{"response_cost":0.12345678901234567890123}}}'
    headers = {"Content-Type": "application/json"}
    subscribed.client.post("events", content=body % moment(), headers=headers)
    assert usage(subscribed)["charges_usage"][0]["units"] == "0.12345678901234568"


def test_only_events_of_the_subscription_the_code_and_the_period_count(subscribed: Api) -> None:
    start = month_start()
    last = (start + timedelta(days=32)).replace(day=1).timestamp() - 0.001
    subscribed.send(
        cost("first", "1", timestamp=start.timestamp()),
        cost("last", "10", timestamp=f"{last:.3f}"),
        cost("before", "100", timestamp=f"{start.timestamp() - 0.001:.3f}"),
        cost("after", "100", timestamp=f"{last + 0.001:.3f}"),
        cost("code", "100", code="other"),
        cost("subscription", "100", external_subscription_id="other"),
    )
    assert usage(subscribed)["charges_usage"][0]["units"] == "11.0"


def test_events_before_the_start_do_not_count_and_the_start_is_floored_to_a_millisecond(api: Api) -> None:
    make_plan(api)
    started = subscribe(api).json()["subscription"]["started_at"]
    since = iso_seconds(started)
    api.send(cost("at", "1", timestamp=since), cost("before", "10", timestamp=f"{float(since) - 0.001:.3f}"))
    assert usage(api)["charges_usage"][0]["units"] == "1.0"


def iso_seconds(text: str) -> str:
    return f"{datetime.fromisoformat(text).timestamp():.3f}"


def test_pricing_groups_are_rounded_one_by_one(api: Api) -> None:
    make_plan(api, pricing_group_keys=["model"])
    subscribe(api, subscription_at=iso(month_start()))
    priced = [("a", "x", "0.004"), ("b", "x", "0.003"), ("c", "y", "0.004")]
    api.send(*(cost(i, c, properties={"model": m, "response_cost": c}) for i, m, c in priced))
    (charge,) = usage(api)["charges_usage"]
    assert (charge["units"], charge["events_count"], charge["amount_cents"]) == ("0.011", 3, 1)
    groups = [(one["grouped_by"], one["units"], one["amount_cents"]) for one in charge["grouped_usage"]]
    assert groups == [({"model": "x"}, "0.007", 1), ({"model": "y"}, "0.004", 0)]


def test_usage_is_had_by_metric(subscribed: Api) -> None:
    assert len(usage(subscribed, billable_metric_code="llm_cost")["charges_usage"]) == 1
    query = {"external_subscription_id": "sub", "billable_metric_code": "other"}
    response = subscribed.get("customers/acme/current_usage", **query)
    assert (response.status_code, response.json()["code"]) == (404, "charge_not_found")


def test_an_unknown_customer_is_not_found_and_without_subscription_there_is_no_usage(subscribed: Api) -> None:
    unknown = subscribed.get("customers/nobody/current_usage", external_subscription_id="sub")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "resource_not_found")
    expected = {"status": 405, "error": "Method Not Allowed", "code": "no_active_subscription"}
    none = subscribed.get("customers/acme/current_usage", external_subscription_id="other")
    assert (none.status_code, none.json()) == (405, expected)
    subscribed.client.delete("subscriptions/sub")
    terminated = subscribed.get("customers/acme/current_usage", external_subscription_id="sub")
    assert terminated.json() == expected


@pytest.fixture
def subscribed_clickhouse(ch: Api) -> Api:
    make_plan(ch)
    subscribe(ch, subscription_at=iso(month_start()))
    return ch


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5.0"),
        ("+5", "5.0"),
        ("-5", "0.0"),  # a fee is never negative
        ("3.5e-07", "0.00000035"),
        (3.5e-07, "0.00000035"),
        ("1e3", "1000.0"),
        ("999999999999.5", "999999999999.5"),
        ("0." + "1" * 30, "0." + "1" * 26),
        ("1e-27", "0.0"),
        ("1e12", "0.0"),
        (1e12, "0.0"),
        ("1000000000000", "0.0"),
        ("9" * 40, "0.0"),
        (" 5", "0.0"),
        ("1,000", "0.0"),
        ("1e", "0.0"),
        (".", "0.0"),
        ("", "0.0"),
        (True, "0.0"),
        (None, "0.0"),
        ([1], "0.0"),
    ],
)
def test_on_clickhouse_every_event_counts_if_only_as_zero(subscribed_clickhouse: Api, value: Any, units: str) -> None:
    subscribed_clickhouse.send(cost("x", value))
    (charge,) = usage(subscribed_clickhouse)["charges_usage"]
    assert (charge["units"], charge["events_count"]) == (units, 1)


def test_on_clickhouse_an_event_without_the_property_counts_as_zero(subscribed_clickhouse: Api) -> None:
    subscribed_clickhouse.send(event(timestamp=moment(), properties={}), cost("y", "2"))
    (charge,) = usage(subscribed_clickhouse)["charges_usage"]
    assert (charge["units"], charge["events_count"]) == ("2.0", 2)


@pytest.mark.parametrize(("deduplication", "units", "count"), [(True, "2.0", 1), (False, "3.0", 2)])
def test_on_clickhouse_copies_count_once_or_each(
    subscribed_clickhouse: Api, clickhouse: Sandbox, deduplication: bool, units: str, count: int
) -> None:
    clickhouse.clickhouse(deduplication=deduplication)
    for value in ("1", "2"):
        subscribed_clickhouse.send(cost("x", value))
    (charge,) = usage(subscribed_clickhouse)["charges_usage"]
    assert (charge["units"], charge["events_count"]) == (units, count)


def test_on_clickhouse_an_event_older_than_its_metric_never_counts(ch: Api) -> None:
    ch.send(cost("x", "1"))
    make_plan(ch)
    subscribe(ch, subscription_at=iso(month_start()))
    (charge,) = usage(ch)["charges_usage"]
    assert charge["events_count"] == 0
