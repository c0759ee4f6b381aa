"""Before a window's first delivery Lago is asked what it holds of it: invariant 11."""

from datetime import UTC, datetime, timedelta

import httpx

from reconciler.sandbox import Sandbox
from tests import process
from tests.conftest import Database, spend_row
from tests.support import assert_exact, compute_cost, environment, reconcile


def _requests(lago: Sandbox, method: str, path: str) -> int:
    return sum(each["method"] == method and each["path"].startswith(path) for each in lago.requests())


def test_each_window_is_asked_about_once_and_near_windows_together(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)
    reconcile(environ, since="3h")
    assert _requests(lago, "GET", "/api/v1/events?") == 1
    proxy_db.insert(spend_row(model="another"))
    reconcile(environ)
    assert _requests(lago, "GET", "/api/v1/events?") == 1
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
    proxy_db.fetch(
        """UPDATE reconciler.event SET state = 'quarantined', conflict = true,
           payload = replace(payload, '"0.25"', '"0.5"')"""
    )
    assert process.run(environ, "quarantine", "retry", "--all").returncode == 0
    # New windows on both sides are asked about in one go.
    proxy_db.insert(*(spend_row(startTime=now - timedelta(minutes=minutes)) for minutes in (54, 19)))
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.quarantined) == (2, 1)
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]


def test_an_equal_event_with_a_property_that_lago_computes_is_taken_as_accepted(
    proxy_db: Database, empty_db: Database, lago: Sandbox
) -> None:
    compute_cost(lago)
    proxy_db.insert(spend_row(spend=0.123))
    reconcile(environment(proxy_db, lago), since="3h")
    done = reconcile(environment(proxy_db, lago, ledger=empty_db), since="3h")
    assert (done.exit_code, done.delivered.accepted, len(lago.events())) == (0, 1, 1)
