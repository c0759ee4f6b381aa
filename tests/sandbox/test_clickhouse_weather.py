"""ClickHouse's lag, lost messages and unmerged copies, in a test's hand."""

import time
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from reconciler.sandbox.stores.store import StoreFileError
from tests.sandbox.conftest import Api, event


def billed(lago: Sandbox) -> list[tuple[int, str]]:
    """How many events count, and the sum of their cost, by group."""
    return [(total["events"], total["sums"]["response_cost"]) for total in lago.totals()]


def test_an_event_is_seen_after_the_lag(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(lag=0.2)
    assert ch.send(event()).status_code == 200
    assert (ch.get("events/txn").status_code, ch.ids(), billed(clickhouse)) == (404, [], [])
    time.sleep(0.25)
    assert (ch.get("events/txn").status_code, ch.ids()) == (200, ["txn"])
    assert billed(clickhouse) == [(1, "0.00042")]


def test_an_event_can_wait_until_it_is_released(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(lag=None)
    ch.send(event("a"), event("b"))
    assert (ch.ids(), clickhouse.clickhouse()["waiting"]) == ([], 2)
    assert clickhouse.release() == 2
    assert (sorted(ch.ids()), clickhouse.clickhouse()["waiting"]) == (["a", "b"], 0)
    assert clickhouse.release() == 0


def test_what_waited_goes_on_waiting_when_the_lag_ends(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(lag=None)
    ch.send(event("old"))
    clickhouse.clickhouse(lag=0)
    ch.send(event("new"))
    assert ch.ids() == ["new"]


def test_a_metric_made_while_an_event_waits_is_there_in_time(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(lag=None)
    ch.send(event())
    metric = {"name": "N", "code": "llm_cost", "aggregation_type": "count_agg"}
    ch.post("billable_metrics", {"billable_metric": metric})
    clickhouse.release()
    assert [one["value"] for one in ch.get("events_enriched").json()["events"]] == ["1"]


def test_so_many_messages_are_lost(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(losses=[{"count": 2}])
    assert ch.send(event("a"), event("b"), event("c")).status_code == 200
    assert (ch.ids(), clickhouse.clickhouse()["losses"]) == (["c"], [])


@pytest.mark.parametrize(
    ("loss", "left"),
    [
        ({"transaction_id": "a1"}, ["a2", "b1"]),
        ({"transaction_id_prefix": "a", "count": None}, ["b1"]),
        ({"external_subscription_id": "elsewhere"}, ["a1", "a2", "b1"]),
        ({"external_subscription_id": "sub", "count": None}, []),
    ],
)
def test_messages_are_lost_by_name(ch: Api, clickhouse: Sandbox, loss: dict[str, Any], left: list[str]) -> None:
    clickhouse.clickhouse(losses=[loss])
    ch.send(event("a1"), event("a2"), event("b1"))
    assert sorted(ch.ids()) == left


def test_messages_are_lost_by_odds_that_repeat(ch: Api, clickhouse: Sandbox) -> None:
    runs = []
    for seed in (7, 7, 8):
        clickhouse.reset()
        clickhouse.clickhouse(losses=[{"probability": 0.1, "seed": seed}])
        ch.send(*(event(f"{n:02}") for n in range(100)))
        runs.append(sorted(ch.ids()))
    assert runs[0] == runs[1] != runs[2]
    assert 80 < len(runs[0]) < 100


def test_with_deduplication_the_latest_copy_counts(ch: Api, clickhouse: Sandbox) -> None:
    ch.send(event(properties={"response_cost": "1"}))
    ch.send(event(properties={"response_cost": "2"}))
    assert billed(clickhouse) == [(1, "2")]
    assert len(ch.ids()) == 2


def test_without_deduplication_every_copy_counts_until_they_are_merged(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(deduplication=False)
    ch.send(event(properties={"response_cost": "1"}))
    ch.send(event(properties={"response_cost": "2"}))
    assert billed(clickhouse) == [(2, "3")]
    assert clickhouse.merge() == 0  # the code is no metric's: no row of events_enriched
    clickhouse.clickhouse(deduplication=True)
    assert billed(clickhouse) == [(1, "2")]


def test_a_merge_leaves_the_latest_copy(ch: Api, clickhouse: Sandbox) -> None:
    metric = {"name": "Cost", "code": "llm_cost", "aggregation_type": "sum_agg", "field_name": "response_cost"}
    ch.post("billable_metrics", {"billable_metric": metric})
    clickhouse.clickhouse(deduplication=False)
    for cost in "123":
        ch.send(event(properties={"response_cost": cost}))
    assert billed(clickhouse) == [(3, "6")]
    assert clickhouse.merge() == 2
    assert billed(clickhouse) == [(1, "3")]
    assert len(ch.ids()) == 3
    ch.send(event(properties={"response_cost": "4"}))
    assert billed(clickhouse) == [(2, "7")]


@pytest.mark.parametrize(
    "difference",
    [{"code": "other"}, {"timestamp": "1710421740.591"}, {"external_subscription_id": "s2"}, {"transaction_id": "t2"}],
)
def test_the_key_is_code_subscription_id_and_millisecond(
    ch: Api, clickhouse: Sandbox, difference: dict[str, str]
) -> None:
    ch.send(event(), event(**difference))
    assert sum(total["events"] for total in clickhouse.totals()) == 2


def test_a_difference_under_a_millisecond_is_none(ch: Api, clickhouse: Sandbox) -> None:
    ch.send(event(timestamp="1.0011"), event(timestamp="1.0019"))
    assert [total["events"] for total in clickhouse.totals()] == [1]


def test_a_reset_brings_the_weather_of_the_start_back(ch: Api) -> None:
    with Sandbox(store="clickhouse", deduplication=False, lag=None) as lago:
        lago.clickhouse(lag=3, deduplication=True, losses=[{}])
        assert lago.clickhouse() == {"lag": 3.0, "deduplication": True, "losses": [{"count": 1}], "waiting": 0}
        lago.reset()
        assert lago.clickhouse() == {"lag": None, "deduplication": False, "losses": [], "waiting": 0}


@pytest.mark.parametrize("weather", [{"lag": -1}, {"lags": 1}, {"deduplication": "maybe"}, {"losses": [{"odds": 1}]}])
def test_weather_that_makes_no_sense_is_refused(clickhouse: Sandbox, weather: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="error"):
        clickhouse.clickhouse(**weather)


def test_postgres_has_no_weather(lago: Sandbox) -> None:
    for change in (lago.clickhouse, lago.release, lago.merge):
        with pytest.raises(ValueError, match="this is the Postgres store"):
            change()


def test_messages_and_events_survive_in_a_file(tmp_path: Path) -> None:
    lago = Sandbox(tmp_path / "lago", store="clickhouse", lag=None)
    with lago, Api(lago).client as client:
        client.post("events/batch", json={"events": [event("a"), event("b")]})
        lago.release()
        client.post("events/batch", json={"events": [event("c")]})
    with lago:
        assert sorted(one["transaction_id"] for one in lago.events()) == ["a", "b"]
        assert lago.release() == 1
        assert len(lago.events()) == 3


def test_a_file_of_the_other_store_or_of_anything_else_is_refused(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "lago"):
        pass
    (tmp_path / "text").write_text("no database" * 100)
    for name in ("lago", "text"):
        with pytest.raises(StoreFileError, match=f"{name} holds no clickhouse store of this version"):
            Sandbox(tmp_path / name, store="clickhouse").start()
    with pytest.raises(StoreFileError, match="unable to open database file"):
        Sandbox(tmp_path / "no folder" / "lago").start()
