"""Before a window's first delivery Lago is asked what it holds of it: invariant 11."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from reconciler.delivery.ask_first import AskFirst
from reconciler.lago import reading
from reconciler.ledger.batches import Part
from reconciler.ledger.outbox import split_off
from reconciler.model import windows
from reconciler.sandbox import Sandbox
from tests import commands
from tests.conftest import Database, spend_row
from tests.support import BATCH, CODE, STORES, assert_exact, batches, compute_cost, customers, environment, reconcile


def _requests(lago: Sandbox, method: str, path: str) -> int:
    return sum(each["method"] == method and each["path"].startswith(path) for each in lago.requests())


def test_each_window_is_asked_about_once_and_near_windows_together(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)
    reconcile(environ, since="3h")
    assert _requests(lago, "GET", "/api/v1/events?") == 3, (
        "before the backfill about LiteLLM's callback, then about other codes, then about these"
    )
    proxy_db.insert(spend_row(model="another"))
    reconcile(environ, since="3h")
    assert _requests(lago, "GET", "/api/v1/events?") == 3
    assert_exact(proxy_db, lago)


def test_the_same_id_under_another_subscription_stops_delivery(
    proxy_db: Database, empty_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row())
    reconcile(environment(proxy_db, lago), since="3h")
    second = environment(proxy_db, lago, ledger=empty_db, RECONCILE_SUBSCRIPTION="team-{id}")
    done = reconcile(second, since="3h")
    assert (done.exit_code, done.delivered.accepted) == (3, 0)
    assert [alarm["kind"] for alarm in done.alarms] == ["foreign"]
    assert "RECONCILE_METER" in done.alarms[0]["message"]
    assert len(lago.events()) == 1


def test_events_of_other_meters_and_producers_do_not_matter(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    reconcile(environment(proxy_db, lago, RECONCILE_METER="elsewhere"), since="3h")
    stamp = lago.events()[0]["timestamp"]
    foreign = {"transaction_id": "a-uuid", "external_subscription_id": "acme", "code": "openai_tokens"}
    httpx.post(
        f"{lago.url}/api/v1/events",
        headers={"Authorization": f"Bearer {lago.api_key}"},
        json={"event": foreign | {"properties": {"model": "x"}}},
    ).raise_for_status()
    done = reconcile(environment(proxy_db, lago), since="3h", adopt=True)
    assert (done.exit_code, done.delivered.accepted) == (0, 1)
    assert [event["timestamp"] for event in lago.events()].count(stamp) == 2


def test_an_equal_event_that_another_ledger_sent_is_taken_as_accepted(
    proxy_db: Database, empty_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row())
    first = environment(proxy_db, lago)
    reconcile(first, since="3h")
    second = environment(proxy_db, lago, ledger=empty_db)
    reconcile(second, since="3h", dry_run=True)
    done = reconcile(second, since="3h")
    assert (done.exit_code, done.delivered.accepted, len(lago.events())) == (0, 1, 1)


def test_a_conflict_that_a_person_lets_go_again_stops_nothing_else(proxy_db: Database, lago: Sandbox) -> None:
    """Its window was asked about before: what Lago holds there is looked at as a duplicate."""
    environ, now = environment(proxy_db, lago), datetime.now(UTC)
    proxy_db.insert(spend_row(spend=0.25, startTime=now - timedelta(minutes=36)))
    reconcile(environ, since="3h")
    proxy_db.fetch("""UPDATE reconciler.event SET payload = replace(payload, '"0.25"', '"0.5"')""")
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'quarantined', conflict = true")
    assert commands.run(environ, "quarantine", "retry", "--all").returncode == 0
    # New windows on both sides are asked about in one go.
    proxy_db.insert(*(spend_row(startTime=now - timedelta(minutes=minutes)) for minutes in (54, 19)))
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.quarantined) == (2, 1)
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]


@pytest.mark.proof
def test_what_lago_holds_is_accepted_though_a_sender_holds_some_of_its_batch_meanwhile(
    proxy_db: Database, empty_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers(proxy_db, 3)
    reconcile(environment(proxy_db, lago), since="2h")
    lago.clear_requests()
    find_planned = AskFirst._planned

    def hold_one_after_reading(self: AskFirst, held: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], Any]]:
        found = find_planned(self, held)
        with self._ledger.transaction() as connection:
            first = min((planned for _, planned in found if planned), key=lambda planned: planned.place)
            part = Part([0], "held", held_for="conflict", open=True)
            if first.batch.events == 3:
                split_off(connection, first.batch, [part], stays=Part((), "planned", open=True))
        return found

    monkeypatch.setattr(AskFirst, "_planned", hold_one_after_reading)
    done = reconcile(environment(proxy_db, lago, ledger=empty_db), since="2h")
    assert done.delivered.accepted == 3
    assert empty_db.fetch("SELECT state, sum(events) FROM reconciler.batch GROUP BY state") == [("accepted", 3)]
    assert batches(lago) == []


@pytest.mark.proof
def test_an_equal_event_with_a_property_that_lago_computes_is_taken_as_accepted(
    proxy_db: Database, empty_db: Database, lago: Sandbox
) -> None:
    compute_cost(lago)
    proxy_db.insert(spend_row(spend=0.123))
    reconcile(environment(proxy_db, lago), since="3h")
    done = reconcile(environment(proxy_db, lago, ledger=empty_db), since="3h")
    assert (done.exit_code, done.delivered.accepted, len(lago.events())) == (0, 1, 1)


@pytest.mark.proof
@pytest.mark.parametrize("store", ["postgres", "clickhouse"])
def test_after_a_ledger_was_lost_the_same_command_sends_nothing_twice(store: str, proxy_db: Database) -> None:
    """ClickHouse without deduplication would count it twice."""
    options, more = STORES[store]
    with Sandbox(**options) as lago:
        environ = environment(proxy_db, lago) | more
        customers(proxy_db, 30)
        assert reconcile(environ, since="2h").delivered.accepted == 30
        proxy_db.fetch("DROP SCHEMA reconciler CASCADE")
        lago.clear_requests()

        done = reconcile(environ, since="2h")
        assert (done.exit_code, done.delivered.accepted) == (0, 30)
        assert batches(lago) == []
        assert_exact(proxy_db, lago)

        proxy_db.insert(spend_row(end_user="new"))
        assert reconcile(environ).delivered.accepted == 1
        assert_exact(proxy_db, lago)


def test_after_a_ledger_was_lost_only_what_lago_lacks_is_sent(proxy_db: Database, clickhouse: Sandbox) -> None:
    environ = environment(proxy_db, clickhouse)
    customers(proxy_db, 5)
    reconcile(environ, since="2h")
    proxy_db.fetch("DROP SCHEMA reconciler CASCADE")
    proxy_db.insert(spend_row(end_user="new"))
    clickhouse.clear_requests()
    assert reconcile(environ, since="2h").delivered.accepted == 6
    assert [len(ids) for ids in batches(clickhouse)] == [1]
    assert_exact(proxy_db, clickhouse)


def others_events(lago: Sandbox, since: datetime, count: int) -> None:
    """Let another producer have sent so many events of our code in the quarter of an hour from then on."""
    key = {"Authorization": f"Bearer {lago.api_key}"}
    with httpx.Client(base_url=lago.url, headers=key, trust_env=False) as client:
        for begin in range(0, count, 100):
            events = [
                {
                    "transaction_id": f"other-{number}",
                    "external_subscription_id": "other",
                    "code": CODE,
                    "timestamp": f"{since.timestamp() + 899 * number / count:.3f}",
                    "properties": {"model": "x"},
                }
                for number in range(begin, begin + 100)
            ]
            client.post(BATCH, json={"events": events}).raise_for_status()


@pytest.mark.proof
def test_asking_that_takes_longer_than_a_pass_goes_on_where_it_was(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGES", 2)
    environ = environment(proxy_db, lago, RECONCILE_DEADLINE="3s")
    moment = datetime.now(UTC) - timedelta(minutes=40)
    proxy_db.insert(spend_row(startTime=moment))
    others_events(lago, windows.floor(moment, timedelta(minutes=15)), 3500)
    lago.faults({"kind": "slow", "seconds": 0.8, "method": "GET", "path": "/api/v1/events", "count": None})
    begun = []
    for number in range(20):
        lago.clear_requests()
        done = reconcile(environ, since=None if number else "2h")
        assert done.exit_code == 0
        asked = [request["path"] for request in lago.requests() if request["path"].startswith("/api/v1/events?")]
        begun += [parse_qs(path.partition("?")[2])["timestamp_from"][0] for path in asked[:1]]
        if done.delivered.accepted:
            break
    assert done.delivered.accepted == 1
    assert len(set(begun)) > 1, "it takes several passes"
    assert begun == sorted(begun), "none begins before an earlier one"
