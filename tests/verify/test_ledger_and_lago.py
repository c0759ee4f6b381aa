"""Leg c: accepted events are read back, compared field by field, and marked; tampering is found and named."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from reconciler.verify import ledger_and_lago, pages, slices
from tests.conftest import Database, spend_row
from tests.support import backlog, customers, environment, plan_again, reconcile
from tests.verify.conftest import ONE, code, is_open, kinds, leg, post, verify

Stored = tuple[Sandbox, dict[str, str]]


def questions(lago: Sandbox) -> list[str]:
    return [each["path"].removeprefix("/api/v1/") for each in lago.requests() if each["method"] == "GET"]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 100 events instead of 1,000: it takes less usage to fill some."""
    for module in (pages, slices):
        monkeypatch.setattr(module, "PAGE", 100)


@pytest.mark.proof
@pytest.mark.usefixtures("small_pages")
def test_a_healthy_ledger_is_read_by_pages_once(proxy_db: Database, stored: Stored) -> None:
    lago, more = stored
    environ = environment(proxy_db, lago) | more
    customers(proxy_db, 130)
    reconcile(environ, since="2h")
    lago.clear_requests()
    report = verify(environ)
    found = leg(report, "c")
    assert (found.rate, found.checked, code(report)) == (ONE, "130 events", 0)
    assert [path.partition("?")[0] for path in questions(lago)].count("events") == 1
    assert report.verified_until == report.until
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.batch WHERE verified_at IS NULL") == [(0,)]

    lago.clear_requests()
    again = verify(environ)
    assert (leg(again, "c").checked, again.verified_until) == ("nothing", again.until)
    assert "events" not in {path.partition("?")[0] for path in questions(lago)}


@pytest.mark.proof
def test_a_window_that_steps_share_is_read_once(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And strangers in it are counted once, also where what is in doubt was read before."""
    monkeypatch.setattr(ledger_and_lago, "STEP", 1)
    environ = environment(proxy_db, lago)
    customers(proxy_db, 450)
    proxy_db.insert(*(spend_row(end_user=f"late {each}", startTime=minutes_ago(40)) for each in range(150)))
    reconcile(environ, since="2h")
    newest = "SELECT id FROM reconciler.batch ORDER BY last_window DESC, events LIMIT 1"
    proxy_db.fetch(f"UPDATE reconciler.batch SET attempts = 2 WHERE id = ({newest})")
    [ours] = payloads(proxy_db)[:1]
    post(lago, "events", {"event": ours | {"transaction_id": "a stranger's"}})
    lago.clear_requests()
    found = leg(verify(environ), "c")
    assert (found.checked, found.rate, kinds(found)) == ("600 events", ONE, {"billed twice, by another producer": 1})
    assert [path.partition("?")[0] for path in questions(lago)].count("events") == 3


def minutes_ago(minutes: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def payloads(ledger: Database) -> list[dict[str, Any]]:
    return [json.loads(text) for (text,) in ledger.fetch("SELECT payload FROM reconciler.event ORDER BY customer")]


def change(_lago: Sandbox, ledger: Database) -> None:
    """Lago can't change an event; what differs is what the ledger says that it sent."""
    ledger.fetch(
        """UPDATE reconciler.event SET payload = replace(payload, '"requests":1', '"requests":7')
           WHERE customer = 'customer 1'"""
    )


def at_another_time(_lago: Sandbox, ledger: Database) -> None:
    ledger.fetch(
        r"""UPDATE reconciler.event SET payload = regexp_replace(payload, '"timestamp":"\d+', '"timestamp":"1700000000')
           WHERE customer = 'customer 1'"""
    )


@pytest.mark.parametrize("tamper", [change, at_another_time])
def test_tampering_is_found(tamper: Callable[[Sandbox, Database], None], proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    tamper(lago, proxy_db)
    for since in ("2h", None):  # it is asked about again until it is as it was sent
        report = verify(environ, since=since)
        found = leg(report, "c")
        assert (kinds(found), found.rate, code(report)) == ({"another event in Lago": 1}, ONE, 3)
        assert proxy_db.fetch("SELECT count(*) FROM reconciler.batch WHERE verified_at IS NULL") == [(1,)]
        assert is_open(report)
    if tamper is change:
        [difference] = found.worst
        assert difference.customer == "customer 1"
        assert difference.example.endswith(": properties.requests is 1, was sent as 7")


def test_an_event_that_clickhouse_holds_twice(proxy_db: Database, stored: Stored) -> None:
    lago, more = stored
    environ = environment(proxy_db, lago) | more
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    if more:
        post(lago, "events/batch", {"events": payloads(proxy_db)[:1]})
    report = verify(environ)
    twice = more and "RECONCILE_DEDUPLICATION" not in more
    assert kinds(leg(report, "c")) == ({"twice in Lago": 1} if twice else {})
    assert leg(report, "c").reading == ("above 1" if twice else "at 1")


def test_messages_that_clickhouse_loses(proxy_db: Database, clickhouse: Sandbox) -> None:
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s")
    clickhouse.clickhouse(lag=0, losses=[{"external_subscription_id": "customer 1", "count": None}])
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    found = leg(verify(environ), "c")
    assert [(each.kind.name, each.customer) for each in found.worst] == [("missing in Lago", "customer 1")]


def test_what_clickhouse_may_not_show_yet_is_not_asked_for(proxy_db: Database, clickhouse: Sandbox) -> None:
    environ = environment(proxy_db, clickhouse)
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    report = verify(environ)
    assert (leg(report, "c").checked, code(report)) == ("nothing", 0)
    assert is_open(report)


@pytest.mark.proof
def test_what_was_sent_in_doubt_comes_first(proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_and_lago, "STEP", 1)
    environ = environment(proxy_db, lago)
    reconcile(environ, since="7h")
    for hours in (6, 5, 4):
        proxy_db.insert(spend_row(startTime=datetime.now(UTC) - timedelta(hours=hours)))
        reconcile(environ, since="7h")
    proxy_db.fetch("UPDATE reconciler.batch SET attempts = 2 WHERE id = (SELECT max(id) FROM reconciler.batch)")
    lago.clear_requests()
    assert code(verify(environ)) == 0
    places = [text.partition("timestamp_from=")[2] for text in questions(lago) if text.startswith("events?")]
    assert [sorted(places).index(place) for place in places] == [2, 0, 1]


@pytest.mark.proof
def test_a_run_that_was_cut_off_goes_on(proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_and_lago, "STEP", 1)
    environ = environment(proxy_db, lago)
    for hours in (1, 2, 3):
        start = datetime.now(UTC) - timedelta(hours=hours)
        proxy_db.insert(*(spend_row(startTime=start, end_user=f"customer {each}") for each in range(100)))
    reconcile(environ, since="4h")
    lago.faults(*({"kind": "slow", "seconds": 0, "path": "/api/v1/events"} for _ in range(2)))
    lago.faults({"kind": "status", "status": 500, "path": "/api/v1/events", "count": None})
    cut = verify(environ)
    assert (cut.exit_code, cut.legs[2].checked) == (1, "200 events")
    lago.clear_faults()
    assert leg(verify(environ), "c").checked == "100 events"


def test_what_is_on_its_way_is_not_verified(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    plan_again(proxy_db)
    report = verify(environ)
    assert (leg(report, "c").checked, code(report)) == ("nothing", 0)
    assert is_open(report)


def test_a_moved_event_is_read_where_it_was_moved(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 3)
    at_another_time(lago, proxy_db)
    reconcile(environ)
    report = verify(environ)
    assert (leg(report, "c").rate, kinds(leg(report, "c")), code(report)) == (ONE, {}, 0)


@pytest.mark.proof
@pytest.mark.usefixtures("small_pages")
def test_few_late_events_are_asked_for_one_by_one(proxy_db: Database, lago: Sandbox) -> None:
    """Their windows hold pages of those that are verified already."""
    environ = environment(proxy_db, lago)
    customers(proxy_db, 250)
    reconcile(environ, since="2h")
    verify(environ)
    proxy_db.insert(spend_row(end_user="late"))
    reconcile(environ)
    lago.clear_requests()
    report = verify(environ)
    assert (leg(report, "c").checked, code(report)) == ("1 event", 0)
    assert len([path for path in questions(lago) if path.startswith("events?")]) == 1


def test_another_organizations_key_is_refused(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 1)
    reconcile(environ, since="2h")
    proxy_db.fetch("UPDATE reconciler.meter SET organization = 'other'")
    report = verify(environ)
    assert report.exit_code == 1
    assert "is a key of" in str(report.errors[0])
