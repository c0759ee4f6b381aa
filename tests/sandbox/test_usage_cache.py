"""Current usage is cached until the period ends; a worker, which can be paused, drops what events outdate."""

from datetime import datetime

import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, event
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, send, subscribe, units

AT = "2026-05-15T10:00:00Z"


@pytest.fixture
def cached(timed: Api) -> Api:
    """A subscription with 1 unit, which current usage has cached; the worker is paused."""
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    send(timed, 1, at=AT)
    assert units(timed) == "1.0"
    timed.lago.worker(paused=True)
    return timed


def test_the_worker_drops_what_an_event_outdates(cached: Api) -> None:
    cached.lago.worker(paused=False)
    send(cached, 10, at=AT)
    assert units(cached) == "11.0"


def test_without_the_worker_usage_is_stale_until_it_catches_up(cached: Api) -> None:
    send(cached, 10, at=AT)
    assert units(cached) == "1.0"
    cached.lago.worker(paused=False)
    assert units(cached) == "11.0"


def test_what_the_worker_never_hears_of_leaves_usage_stale_until_the_next_event(cached: Api) -> None:
    cached.lago.worker(paused=False)
    cached.lago.faults({"kind": "commit_then_500", "worker": False})  # its queue, Redis, is away
    at = datetime.fromisoformat(AT).timestamp()
    lost = event("lost", code="tokens", timestamp=at, properties={"value": 10})
    assert [cached.post("events", {"event": lost}).status_code for _ in range(2)] == [500, 422]
    assert units(cached) == "1.0"
    send(cached, 100, at=AT)
    assert units(cached) == "111.0"


def test_stale_usage_ends_with_the_period(cached: Api, clock: Clock) -> None:
    send(cached, 10, at=AT)
    clock.put("2026-05-31T23:59:58Z")
    assert units(cached) == "1.0"
    clock.put("2026-06-01T00:00:00Z")
    assert units(cached) == "0.0"


def test_invoices_do_not_use_the_cache(cached: Api, clock: Clock) -> None:
    send(cached, 10, at=AT)
    assert units(cached) == "1.0"
    clock.put("2026-06-01T00:10:00Z")
    (invoice,) = cached.get("invoices").json()["invoices"]
    assert invoice["total_amount_cents"] == 1100


def test_asking_for_a_group_goes_around_the_cache(cached: Api) -> None:
    send(cached, 10, at=AT, model="gpt")
    assert units(cached) == "1.0"
    assert units(cached, **{"group[model]": "gpt"}) == "10.0"
    assert units(cached) == "1.0"


def test_a_charge_that_comes_to_nothing_is_not_cached(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed)))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    timed.lago.worker(paused=True)
    assert units(timed) == "0.0"
    send(timed, "0.004", at=AT)
    assert units(timed) == "0.004"  # which is no cent
    send(timed, 1, at=AT)
    assert units(timed) == "1.004"
    send(timed, 1, at=AT, again=True)
    assert units(timed) == "1.004"


def test_only_the_filter_that_an_event_falls_into_is_dropped(timed: Api) -> None:
    filters = [{"values": {"model": [model]}, "properties": {"amount": "1"}} for model in ("gpt", "claude")]
    metric = make_metric(timed, filters=[{"key": "model", "values": ["gpt", "claude"]}])
    make_plan(timed, charge(metric, filters=filters))
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    for model in ("gpt", "claude", "other"):
        send(timed, 1, at=AT, model=model)
    assert units(timed) == "3.0"
    timed.lago.worker(paused=True)
    send(timed, 10, at=AT, model="claude")
    send(timed, 100, at=AT, model="other")
    assert units(timed) == "3.0"
    timed.lago.worker(paused=False)
    assert [one["units"] for one in charge_usage(timed)["filters"]] == ["1.0", "11.0", "101.0"]


def test_an_event_from_before_the_start_outdates_nothing(timed: Api) -> None:
    make_plan(timed, charge(make_metric(timed, recurring=True)))
    subscribe(timed, subscription_at="2026-05-10T00:00:00Z")
    send(timed, 1, at=AT)
    assert units(timed) == "1.0"
    send(timed, 10, at="2026-04-01T00:00:00Z")
    assert units(timed) == "1.0"  # a recurring metric counts it, once something else has ended the entry
    send(timed, 100, at=AT)
    assert units(timed) == "111.0"


def test_clickhouse_validates_when_it_reads(ch: Api, clickhouse: Sandbox) -> None:
    make_plan(ch, charge(make_metric(ch)))
    started = subscribe(ch)["started_at"]
    send(ch, 1, at=started)
    assert units(ch) == "1.0"
    clickhouse.worker(paused=True)
    send(ch, 10, at=started)
    assert units(ch) == "11.0"


def test_the_switch_must_make_sense(timed: Api) -> None:
    for path in ("worker", "biller"):
        refused = timed.client.post(f"{timed.lago.url}/sandbox/{path}", json={"pause": True})
        assert refused.status_code == 400
        assert "pause" in refused.json()["error"]
