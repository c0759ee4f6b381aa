"""What is read back from ClickHouse is text, whatever was sent; it counts as it was sent."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sandbox.conftest import Api, event
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, send, subscribe, units

SENT = {
    "input_tokens": 820,
    "revision": 0,
    "response_cost": "0.0003735",
    "fraction": 0.5,
    "whole": 2.0,
    "small": 3.5e-07,
    "flag": True,
    "nothing": None,
    "nested": {"a": [1, "é"]},
    "name": 'a "quoted" name',
}
READ = {
    "input_tokens": "820",
    "revision": "0",
    "response_cost": "0.0003735",
    "fraction": "0.5",
    "whole": "2",
    "small": "3.5e-7",
    "flag": "true",
    "nothing": "",
    "nested": '{"a":[1,"é"]}',
    "name": 'a "quoted" name',
}


def read(api: Api) -> list[dict[str, Any]]:
    """Return the one event that there is as each way to read it shows it."""
    (listed,) = api.get("events").json()["events"]
    (enriched,) = api.get("events_enriched").json()["events"]
    return [listed, api.get("events/txn").json()["event"], enriched, *api.lago.events()]


def test_properties_are_read_back_as_text(ch: Api) -> None:
    make_metric(ch, "llm_cost", field_name="input_tokens")
    answered = ch.post("events", {"event": event(properties=SENT)}).json()["event"]
    assert answered["properties"] == SENT
    assert [one["properties"] for one in read(ch)] == [READ] * 4


@pytest.mark.parametrize(("sent", "shown"), [(..., "0.0"), (None, "0.0"), ("12.5", "12.5"), ("garbage", "0.0")])
def test_cents_that_were_not_sent_are_read_back_as_zero(ch: Api, sent: Any, shown: str) -> None:
    make_metric(ch, "llm_cost", field_name="input_tokens")
    ch.send(event(precise_total_amount_cents=sent))
    assert [one["precise_total_amount_cents"] for one in read(ch)] == [shown] * 4


def test_on_postgres_they_are_read_back_as_sent(api: Api) -> None:
    api.send(event(properties=SENT))
    shown = api.get("events/txn").json()["event"]
    assert (shown["properties"], shown["precise_total_amount_cents"]) == (SENT, None)


@pytest.fixture
def in_may(ch: Api) -> Api:
    """A stand-in with ClickHouse on 15 May 2026, at noon."""
    ch.lago.set_clock(datetime(2026, 5, 15, 12, tzinfo=UTC))
    return ch


def test_numbers_count_as_they_were_sent(in_may: Api) -> None:
    make_plan(in_may, charge(make_metric(in_may)))
    subscribe(in_may, subscription_at="2026-05-01T00:00:00Z")
    send(in_may, 2, 0.5, "0.25", at="2026-05-10T00:00:00Z")
    assert units(in_may) == "2.75"


def test_groups_of_usage_come_in_no_order_that_means_anything(in_may: Api) -> None:
    keys = {"amount": "1", "pricing_group_keys": ["model"]}
    make_plan(in_may, charge(make_metric(in_may), properties=keys))
    subscribe(in_may, subscription_at="2026-05-01T00:00:00Z")
    models = [f"model-{n}" for n in range(8)]
    for model in models:
        send(in_may, 1, at="2026-05-10T00:00:00Z", model=model)
    listed = [one["grouped_by"]["model"] for one in charge_usage(in_may)["grouped_usage"]]
    assert sorted(listed) == models
    assert listed not in (models, models[::-1])
    assert listed == [one["grouped_by"]["model"] for one in charge_usage(in_may)["grouped_usage"]]
