"""What Lago says that it holds of our events: equal, another in its stead, or none."""

import json
from typing import Any

import httpx
import pytest

from reconciler.lago.client import Lago
from reconciler.lago.readback import Readback
from reconciler.lago.shown import whole
from reconciler.sandbox import Sandbox
from tests.lago.conftest import Connect, Serve, reply

PAYLOAD: dict[str, Any] = {
    "transaction_id": "r1_a",
    "external_subscription_id": "acme",
    "code": "llm",
    "timestamp": "1795436099.999",
    "properties": {"input_tokens": 820, "response_cost": "0.0003735", "model": "gpt", "revision": 0},
}


def payload(number: int, **changes: Any) -> dict[str, Any]:
    return PAYLOAD | {"transaction_id": f"r1_{number}"} | changes


def send(lago: Sandbox, *payloads: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    httpx.post(f"{lago.url}/api/v1/events/batch", headers=headers, json={"events": payloads}).raise_for_status()
    lago.clear_requests()


def kinds(client: Lago, *payloads: dict[str, Any], duplicates: bool = False) -> list[str]:
    return [verdict.kind for verdict in Readback(client).verdicts(payloads, duplicates=duplicates)]


def test_each_event_has_its_verdict(lago: Sandbox, client: Lago) -> None:
    other = payload(2, properties=PAYLOAD["properties"] | {"input_tokens": 1})
    send(lago, payload(1), other)
    equal, conflict, missing = Readback(client).verdicts([payload(1), payload(2), payload(3)])
    assert (equal.kind, equal.held) == ("equal", "")
    assert conflict.kind == "conflict"
    assert "r1_2" in conflict.held
    assert missing.kind == "missing"


def test_where_the_key_may_not_read_metrics_one_other_property_is_a_conflict(lago: Sandbox, client: Lago) -> None:
    send(lago, payload(1, properties=PAYLOAD["properties"] | {"input_tokens": 1}))
    lago.permissions(billable_metric=[])
    assert kinds(client, payload(1)) == ["conflict"]


def test_a_whole_batch_takes_one_question(lago: Sandbox, client: Lago) -> None:
    events = [payload(number, external_subscription_id=f"customer {number}") for number in range(100)]
    send(lago, *events)
    assert set(kinds(client, *events)) == {"equal"}
    assert len(lago.requests()) == 1


def test_a_name_of_any_length_is_read_back(lago: Sandbox, client: Lago) -> None:
    long = payload(1, external_subscription_id="x" * 2600)
    send(lago, long)
    assert kinds(client, long) == ["equal"]


def test_a_duplicate_that_is_elsewhere_is_a_conflict(lago: Sandbox, client: Lago) -> None:
    send(lago, payload(1, external_subscription_id="globex"), payload(2, timestamp="1700000000"))
    assert kinds(client, payload(1), payload(2), payload(3)) == ["missing"] * 3
    assert kinds(client, payload(1), payload(2), payload(3), duplicates=True) == ["conflict", "conflict", "missing"]


def test_a_property_that_lago_computes_is_no_conflict(lago: Sandbox, client: Lago) -> None:
    computed = {"field_name": "response_cost", "expression": "round(event.properties.response_cost, 2)"}
    metric = {"name": "Cost", "code": "llm", "aggregation_type": "sum_agg", **computed}
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    httpx.post(
        f"{lago.url}/api/v1/billable_metrics", headers=headers, json={"billable_metric": metric}
    ).raise_for_status()
    send(lago, payload(1))
    assert kinds(client, payload(1)) == ["equal"]


def test_of_several_copies_each_counts(clickhouse: Sandbox, connect: Connect) -> None:
    clickhouse.clickhouse(lag=0)
    client = connect(clickhouse.url, clickhouse.api_key)
    send(clickhouse, payload(1))
    send(clickhouse, payload(1))
    assert kinds(client, payload(1)) == ["equal"]
    send(clickhouse, payload(1, properties=PAYLOAD["properties"] | {"input_tokens": 1}))
    assert kinds(client, payload(1)) == ["conflict"]


HOSTILE = {
    "an absurd number": PAYLOAD["properties"] | {"revision": "NUMBER"},
    "an absurd text": PAYLOAD["properties"] | {"revision": "1e99999999"},
    "a list": [],
    "nothing": None,
}


@pytest.mark.parametrize("properties", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_event_is_another_event(properties: object, serve: Serve, connect: Connect) -> None:
    held = PAYLOAD | {"timestamp": "2026-11-23T12:14:59.999Z", "properties": properties}
    page = {"events": [held, held | {"transaction_id": ["r1_a"]}], "meta": {"total_pages": 1, "next_page": None}}
    page |= {"billable_metric": {}}
    body = json.dumps(page).replace('"NUMBER"', "1e99999999")
    assert kinds(connect(serve(reply(body))), PAYLOAD) == ["conflict"]


def test_only_whole_numbers_of_usual_size_are_ours() -> None:
    assert [whole(0), whole(7), whole("7")] == [0, 7, 7]
    others: list[object] = [True, None, -1, "1e9", "1e99999999", "9" * 5000, "٣", 1.0, []]
    assert [whole(value) for value in others] == [None] * len(others)
