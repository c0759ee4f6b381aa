"""A clock that tests move, and Lago follows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import Api, event
from tests.sandbox.test_provisioning import make_plan, subscribe

LEAP = datetime(2028, 2, 29, 23, 30, tzinfo=UTC)
SOON = timedelta(seconds=30)


def test_it_is_the_real_one_until_moved_and_runs_on_from_there(lago: Sandbox) -> None:
    assert abs(lago.now() - datetime.now(UTC)) < SOON
    assert LEAP <= lago.set_clock(LEAP) < LEAP + SOON
    first = lago.now()
    while lago.now() == first:
        pass
    assert LEAP + timedelta(days=31) <= lago.set_clock(advance=timedelta(days=31)) < LEAP + timedelta(days=31) + SOON
    assert LEAP - timedelta(days=1) <= lago.set_clock(LEAP, advance=-timedelta(days=1)) < LEAP
    assert abs(lago.reset_clock() - datetime.now(UTC)) < SOON


def test_it_is_told_and_moved_by_the_control_api(lago: Sandbox) -> None:
    url = f"{lago.url}/sandbox/clock"
    moved = httpx.post(url, json={"now": "2028-02-29T23:30:00+02:00", "advance": 60}, trust_env=False).json()
    assert moved["moved"] is True
    assert moved["now"].startswith("2028-02-29T21:31:")
    assert httpx.get(url, trust_env=False).json()["now"].startswith("2028-02-29T21:31:")
    assert httpx.delete(url, trust_env=False).json()["moved"] is False


def test_an_event_is_received_by_it(lago: Sandbox, api: Api) -> None:
    lago.set_clock(LEAP)
    answer = api.post("events", {"event": event(timestamp=...)}).json()["event"]
    assert answer["timestamp"].startswith("2028-02-29T23:30:")
    assert answer["created_at"].startswith("2028-02-29T23:30:")


def test_a_subscription_s_period_goes_on_with_it(lago: Sandbox, api: Api) -> None:
    lago.set_clock(LEAP)
    make_plan(api)
    subscribe(api)

    def period() -> tuple[str, str]:
        usage = api.get("customers/acme/current_usage", external_subscription_id="sub").json()["customer_usage"]
        return usage["from_datetime"][:10], usage["to_datetime"][:10]

    assert period() == ("2028-02-29", "2028-02-29")
    lago.set_clock(advance=timedelta(hours=1))
    assert period() == ("2028-03-01", "2028-03-31")


def test_clickhouse_s_lag_goes_by_it(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(lag=3600)
    ch.send(event())
    assert ch.ids() == []
    clickhouse.set_clock(advance=timedelta(hours=2))
    assert ch.ids() == ["txn"]


def test_a_reset_brings_the_real_time_back(lago: Sandbox) -> None:
    lago.set_clock(LEAP)
    lago.reset()
    assert abs(lago.now() - datetime.now(UTC)) < SOON


@pytest.mark.parametrize("move", [{"now": "2028-02-29T23:30:00"}, {"now": "tomorrow"}, {"forward": 1}, []])
def test_a_move_that_makes_no_sense_is_refused(lago: Sandbox, move: Any) -> None:
    assert httpx.post(f"{lago.url}/sandbox/clock", json=move, trust_env=False).status_code == 400
