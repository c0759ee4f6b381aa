"""Usage whose billing period Lago has closed is held and shown, or sent or moved where the settings say so."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import BATCH, counted, environment, reconcile, used

NOW = datetime.now(UTC)
THIS_MONTH = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
LAST_MONTH = THIS_MONTH - timedelta(days=3)
SINCE = f"{LAST_MONTH:%Y-%m-%d}"

pytestmark = pytest.mark.skipif(
    timedelta(0) <= NOW - THIS_MONTH < timedelta(hours=1), reason="the month has only just begun"
)


@pytest.fixture
def subscribed(lago: Sandbox) -> Sandbox:
    """Lago with a monthly subscription for acme, begun in time."""
    return _subscribe(lago)


@pytest.fixture
def deduplicating() -> Iterator[Sandbox]:
    """The same with ClickHouse, where copies count once if they have the same timestamp."""
    with Sandbox(store="clickhouse", deduplication=True) as lago:
        yield _subscribe(lago)


def _subscribe(lago: Sandbox) -> Sandbox:
    with httpx.Client(base_url=lago.url + "/api/v1", headers={"Authorization": f"Bearer {lago.api_key}"}) as api:
        plan = {
            "name": "LLM",
            "code": "llm",
            "interval": "monthly",
            "amount_cents": 0,
            "amount_currency": "USD",
            "pay_in_advance": False,
            "charges": [],
        }
        subscription = {
            "external_customer_id": "acme",
            "plan_code": "llm",
            "external_id": "acme",
            "billing_time": "calendar",
            "subscription_at": f"{LAST_MONTH - timedelta(days=90):%Y-%m-%dT00:00:00Z}",
        }
        api.post("/plans", json={"plan": plan}).raise_for_status()
        api.post("/subscriptions", json={"subscription": subscription}).raise_for_status()
    return lago


def _rows(source: Database) -> None:
    source.insert(
        spend_row(startTime=LAST_MONTH + timedelta(hours=1), spend=0.5),
        spend_row(startTime=LAST_MONTH + timedelta(hours=1), spend=0.25, end_user="nobody subscribed"),
        spend_row(startTime=NOW - timedelta(minutes=45), spend=0.125),
    )


def test_it_is_held_with_an_alarm_while_other_usage_goes_on(proxy_db: Database, subscribed: Sandbox) -> None:
    _rows(proxy_db)
    done = reconcile(environment(proxy_db, subscribed), since=SINCE)
    costs = sorted(event["properties"]["response_cost"] for event in subscribed.events())
    assert costs == ["0.125", "0.25"]
    assert (done.delivered.accepted, done.delivered.held) == (2, 1)
    assert done.as_json()["held_events"] == 1
    assert [alarm["kind"] for alarm in done.alarms] == ["held"]
    assert done.exit_code == 3
    [(state, answer)] = proxy_db.fetch("SELECT state, answer FROM reconciler.event WHERE cost = 0.5")
    assert state == "held"
    assert answer == f"its billing period was closed: the present one began {THIS_MONTH:%Y-%m-%d %H:%M} UTC"
    assert reconcile(environment(proxy_db, subscribed)).delivered.accepted == 0


def test_with_send_it_goes_with_its_own_timestamp(proxy_db: Database, subscribed: Sandbox) -> None:
    _rows(proxy_db)
    reconcile(environment(proxy_db, subscribed), since=SINCE)
    done = reconcile(environment(proxy_db, subscribed, RECONCILE_CLOSED_PERIOD="send"))
    assert (done.delivered.accepted, done.alarms) == (1, [])
    [event] = [each for each in subscribed.events() if each["properties"]["response_cost"] == "0.5"]
    assert event["timestamp"].startswith(f"{LAST_MONTH:%Y-%m-%dT01:14:59.999}")


def test_with_move_it_goes_into_the_present_period_and_stays_frozen(proxy_db: Database, subscribed: Sandbox) -> None:
    _rows(proxy_db)
    subscribed.faults({"kind": "commit_then_500", "path": BATCH})
    done = reconcile(environment(proxy_db, subscribed, RECONCILE_CLOSED_PERIOD="move"), since=SINCE)
    assert (done.delivered.accepted, done.alarms) == (3, [])
    [event] = [each for each in subscribed.events() if each["properties"]["response_cost"] == "0.5"]
    assert event["timestamp"].startswith(f"{THIS_MONTH:%Y-%m-%dT00:00:00.000}")
    [(payload,)] = proxy_db.fetch("SELECT payload FROM reconciler.event WHERE cost = 0.5")
    assert json.loads(payload)["timestamp"] == f"{THIS_MONTH.timestamp():.3f}"
    assert json.loads(payload)["transaction_id"] == event["transaction_id"]


def test_what_was_claimed_but_never_sent_is_still_held(proxy_db: Database, subscribed: Sandbox) -> None:
    _rows(proxy_db)
    subscribed.faults(
        {"kind": "status", "status": 503, "count": None, "method": "GET", "path": "/api/v1/subscriptions"}
    )
    with pytest.raises(LagoError):
        reconcile(environment(proxy_db, subscribed), since=SINCE)
    claimed = "SELECT attempts, open_since FROM reconciler.event WHERE cost = 0.5"
    assert proxy_db.fetch(claimed) == [(0, None)], "the claim is undone: it was certainly not sent"
    subscribed.clear_faults()
    done = reconcile(environment(proxy_db, subscribed))
    assert (done.delivered.accepted, done.delivered.held) == (2, 1)


def test_what_was_sent_in_time_without_an_answer_is_not_held(proxy_db: Database, subscribed: Sandbox) -> None:
    _rows(proxy_db)
    subscribed.faults({"kind": "commit_then_500", "count": 1, "path": BATCH})
    subscribed.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    with pytest.raises(LagoError):
        reconcile(environment(proxy_db, subscribed, RECONCILE_CLOSED_PERIOD="send"), since=SINCE)
    subscribed.clear_faults()
    done = reconcile(environment(proxy_db, subscribed))
    assert (done.delivered.accepted, done.delivered.held, len(subscribed.events())) == (3, 0, 3)


def test_with_move_what_may_have_been_sent_keeps_its_timestamp(proxy_db: Database, deduplicating: Sandbox) -> None:
    """ClickHouse has it and does not show it yet; under another timestamp it would count a second time."""
    _rows(proxy_db)
    deduplicating.clickhouse(lag=None)
    deduplicating.faults({"kind": "commit_then_500", "path": BATCH})
    deduplicating.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    environ = environment(proxy_db, deduplicating, RECONCILE_DEDUPLICATION="true")
    with pytest.raises(LagoError):
        reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "send"}, since=SINCE)
    deduplicating.clear_faults()

    done = reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "move"})

    assert done.delivered.accepted == 3
    deduplicating.release()
    stamps = {e["timestamp"] for e in deduplicating.events() if e["properties"]["response_cost"] == "0.5"}
    assert len(stamps) == 1
    assert counted(deduplicating) == used(proxy_db)


def test_windows_of_the_last_minutes_ask_for_no_period(proxy_db: Database, subscribed: Sandbox) -> None:
    environ = environment(proxy_db, subscribed, RECONCILE_WINDOW="1m")
    proxy_db.insert(spend_row(startTime=datetime.now(UTC) - timedelta(minutes=4)))
    reconcile(environ, since="10m")
    assert len(subscribed.events()) == 1
    assert not [each for each in subscribed.requests() if "/subscriptions/" in each["path"] and each["method"] == "GET"]
