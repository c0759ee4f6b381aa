"""What a sender sees of the ClickHouse store: answers, what may come twice, what can be read back."""

import time
from datetime import timedelta
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import Api, event, invalid


def create(api: Api, **fields: Any) -> Any:
    response = api.post("events", {"event": event(**fields)})
    assert response.status_code == 200, response.text
    return response.json()["event"]


def test_an_answer_has_no_lago_id_and_no_time_of_creation(ch: Api) -> None:
    assert create(ch, precise_total_amount_cents="70") == {
        "lago_id": None,
        "transaction_id": "txn",
        "lago_customer_id": None,
        "code": "llm_cost",
        "timestamp": "2024-03-14T13:09:00.590Z",
        "precise_total_amount_cents": "70.0",
        "properties": {"model": "gpt-4o", "response_cost": "0.00042", "input_tokens": 820},
        "lago_subscription_id": None,
        "external_subscription_id": "sub",
        "created_at": None,
    }
    (of_batch,) = ch.send(event("other")).json()["events"]
    assert (of_batch["lago_id"], of_batch["created_at"]) == (None, None)


def test_an_event_may_come_again_and_again(ch: Api) -> None:
    assert [ch.send(event(), event()).status_code for _ in range(2)] == [200, 200]
    assert [ch.post("events", {"event": event()}).status_code for _ in range(2)] == [200, 200]
    assert ch.ids() == ["txn"] * 6


def test_an_event_without_timestamp_is_another_one_each_time(ch: Api, clickhouse: Sandbox) -> None:
    for _ in range(2):
        create(ch, timestamp=...)
        clickhouse.set_clock(advance=timedelta(seconds=1))
    assert [total["events"] for total in clickhouse.totals()] == [2]


def test_one_id_in_two_subscriptions_of_a_batch_is_fine(ch: Api) -> None:
    response = ch.send(*(event("x", external_subscription_id=sub) for sub in ("s1", "s2")))
    assert [one["external_subscription_id"] for one in response.json()["events"]] == ["s1", "s2"]


@pytest.mark.parametrize("fields", [{"transaction_id": ...}, {"code": ...}, {"code": "", "transaction_id": None}])
def test_id_and_code_are_mandatory_in_a_batch_only(ch: Api, fields: dict[str, Any]) -> None:
    answer = create(ch, **fields)
    assert [answer[name] or None for name in fields] == [None] * len(fields)
    missing = {name: ["value_is_mandatory"] for name in ("transaction_id", "code") if name in fields}
    assert ch.send(event(**fields)).json() == invalid({"0": missing})


def test_a_timestamp_must_be_a_number_as_ever(ch: Api) -> None:
    wrong = event(timestamp="2024-03-14T13:09:00Z")
    assert ch.post("events", {"event": wrong}).json() == invalid({"timestamp": ["invalid_format"]})
    assert ch.send(wrong).json() == invalid({"0": {"timestamp": ["invalid_format"]}})
    assert ch.send(event(timestamp="NaN")).status_code == 500


def test_the_limits_of_a_batch_are_the_same(ch: Api) -> None:
    assert ch.send().json() == invalid({"events": ["no_events"]})
    assert ch.send(*(event(str(n)) for n in range(101))).json() == invalid({"events": ["too_many_events"]})


def test_what_poisons_postgres_is_taken(ch: Api) -> None:
    poison = [event("a\0b"), event("x" * 3000), event("nul", properties={"a\0": "b\0"})]
    assert ch.send(*poison).status_code == 200
    assert sorted(ch.ids()) == ["a\0b", "nul", "x" * 3000]


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": 1710421740123},
        {"timestamp": "1710421740123456"},
        {"timestamp": "-3000000000"},
        {"precise_total_amount_cents": "1e25"},
    ],
)
def test_what_no_column_holds_is_taken_and_lost(ch: Api, fields: dict[str, Any]) -> None:
    create(ch, **fields)
    assert ch.ids() == []


def test_milliseconds_are_stored(ch: Api) -> None:
    ch.send(event("a", timestamp="1.0019"))
    assert ch.ids(timestamp_to="1970-01-01T00:00:01.001000Z") == ["a"]


def test_events_are_read_raw_with_an_id_made_of_their_key(ch: Api, clickhouse: Sandbox) -> None:
    ch.send(event())
    found = ch.get("events/txn").json()["event"]
    assert found == ch.get("events").json()["events"][0] == clickhouse.events()[0]
    organization, subscription, transaction_id, second = found["lago_id"].rsplit("-", 3)
    assert (len(organization), subscription, transaction_id) == (36, "sub", "txn")
    assert second.isdigit()
    assert found["created_at"].endswith("Z")


def test_an_event_read_back_names_the_subscription_that_holds_it(ch: Api) -> None:
    plan = {"name": "P", "code": "p", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
    assert ch.post("plans", {"plan": plan | {"pay_in_advance": False}}).status_code == 200
    subscribed = {"external_customer_id": "acme", "external_id": "sub", "plan_code": "p"}
    body = {"subscription": subscribed | {"subscription_at": "2024-03-01T00:00:00Z"}}
    subscription = ch.post("subscriptions", body).json()["subscription"]
    ch.send(event("in"), event("before", timestamp="1700000000"))
    held, early = (ch.get(f"events/{name}").json()["event"] for name in ("in", "before"))
    assert held["lago_subscription_id"] == subscription["lago_id"]
    assert held["lago_customer_id"] == subscription["lago_customer_id"]
    assert (early["lago_subscription_id"], early["lago_customer_id"]) == (None, None)


def test_the_latest_taken_in_is_listed_first_whatever_its_timestamp(ch: Api) -> None:
    for name, timestamp in ("b", 3), ("a", 1), ("c", 2):
        ch.send(event(name, timestamp=timestamp))
        time.sleep(0.002)  # ClickHouse orders by the millisecond of receipt
    assert ch.ids() == ["c", "a", "b"]


def test_the_filters_of_the_list_are_the_same(ch: Api) -> None:
    ch.send(event("1", timestamp=1), event("2", timestamp=2, code="other"), event("3", timestamp=3))
    assert ch.ids(code="other") == ["2"]
    found = ch.ids(timestamp_from="1970-01-01T00:00:02Z", timestamp_to="1970-01-01T00:00:03Z")
    assert sorted(found) == ["2", "3"]
    assert ch.get("events", page=2, per_page=2).json()["meta"] == {
        "current_page": 2,
        "next_page": None,
        "prev_page": 1,
        "total_pages": 2,
        "total_count": 3,
    }


METRIC = {"name": "Cost", "code": "llm_cost", "aggregation_type": "sum_agg", "field_name": "response_cost"}


def test_enriched_events_are_those_of_a_metric_that_was_there(ch: Api) -> None:
    ch.send(event("too early"))
    ch.post("billable_metrics", {"billable_metric": METRIC})
    ch.send(event("enriched"), event("empty", properties={}), event("unknown code", code="x"))
    response = ch.get("events_enriched")
    assert response.status_code == 200
    assert response.headers["X-Lago-Endpoint-Status"] == "beta"
    empty, enriched = sorted(response.json()["events"], key=lambda one: str(one["transaction_id"]))
    assert enriched.pop("enriched_at").endswith("Z")
    assert enriched == {
        "transaction_id": "enriched",
        "external_subscription_id": "sub",
        "code": "llm_cost",
        "timestamp": "2024-03-14T13:09:00.590Z",
        "value": "0.00042",
        "decimal_value": "0.00042",
        "precise_total_amount_cents": "0.0",
        "properties": {"model": "gpt-4o", "response_cost": "0.00042", "input_tokens": "820"},
    }
    assert (empty["transaction_id"], empty["value"], empty["decimal_value"]) == ("empty", "<nil>", "0.0")
    assert response.json()["meta"]["total_count"] == 2
