"""Lago's ClickHouse store: 200 is not yet stored, and without deduplication a repetition would count twice."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from reconciler.ledger.outbox import LOST
from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests import commands
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    EVENTS,
    LAGOS_404,
    assert_exact,
    batches,
    counted,
    customers,
    environment,
    let_minutes_pass,
    plan_again,
    reconcile,
    states,
    used,
)

UNKNOWN: dict[str, dict[str, Any]] = {
    "stored, then 500": {"kind": "commit_then_500"},
    "stored in part, then no answer": {"kind": "drop", "commit": True, "events": 5},
    "not stored, no answer": {"kind": "drop"},
}
"""tests/crash/test_lost_replies.py has more of them."""

ANSWERED: dict[str, dict[str, Any]] = {
    "stored, slowly": {"kind": "slow", "seconds": 0.5},
    "not stored, 429": {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0.1"}},
}


@pytest.fixture
def plain() -> Iterator[Sandbox]:
    """A Lago with ClickHouse and without deduplication."""
    with Sandbox(store="clickhouse", deduplication=False) as lago:
        yield lago


@pytest.fixture
def deduplicating() -> Iterator[Sandbox]:
    with Sandbox(store="clickhouse", deduplication=True) as lago:
        yield lago


def test_which_store_lago_has_is_asked_recorded_and_shown(proxy_db: Database, plain: Sandbox) -> None:
    environ = environment(proxy_db, plain)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    assert proxy_db.fetch("SELECT base, store FROM reconciler.lago") == [(plain.url, "clickhouse")]
    shown = commands.run(environ, "status")
    assert "clickhouse: accepted is on its way, not yet seen there" in shown.stdout


def test_status_shows_that_what_postgres_accepted_is_stored(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    assert proxy_db.fetch("SELECT base, store FROM reconciler.lago") == [(lago.url, "postgres")]
    assert "postgres: accepted is stored" in commands.run(environ, "status").stdout


def test_a_lago_that_is_too_old_to_say_counts_as_unknown(proxy_db: Database, lago: Sandbox) -> None:
    silent = {"kind": "status", "status": 404, "body": LAGOS_404, "count": None}
    lago.faults(*({**silent, "path": f"/api/v1/{path}"} for path in ("organizations", "events_enriched")))
    proxy_db.insert(spend_row())
    assert reconcile(environment(proxy_db, lago), since="2h").exit_code == 0
    assert proxy_db.fetch("SELECT store FROM reconciler.lago") == [("unknown",)]
    assert_exact(proxy_db, lago)


@pytest.mark.proof
@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_without_deduplication_nothing_goes_again_before_it_was_read_back(
    fault: dict[str, Any], proxy_db: Database, plain: Sandbox
) -> None:
    environ = environment(proxy_db, plain)
    customers(proxy_db, 12)
    plain.faults({**fault, "path": BATCH})

    with pytest.raises(LagoError, match="stay planned"):
        reconcile(environ, since="2h")
    assert len(batches(plain)) == 1
    assert reconcile(environ).delivered.accepted == 0, "it waits for what may have been sent"
    assert len(batches(plain)) == 1
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 12
    assert_exact(proxy_db, plain)


@pytest.mark.parametrize("fault", ANSWERED.values(), ids=ANSWERED)
def test_without_deduplication_what_has_an_answer_needs_no_look(
    fault: dict[str, Any], proxy_db: Database, plain: Sandbox
) -> None:
    customers(proxy_db, 12)
    plain.faults({**fault, "path": BATCH})
    assert reconcile(environment(proxy_db, plain), since="2h").delivered.accepted == 12
    assert_exact(proxy_db, plain)


def test_what_was_sent_and_can_not_be_seen_yet_is_waited_for(proxy_db: Database, plain: Sandbox) -> None:
    plain.clickhouse(lag=None)
    environ = environment(proxy_db, plain)
    proxy_db.insert(spend_row())
    plain.faults({"kind": "commit_then_500", "path": BATCH})
    with pytest.raises(LagoError):
        reconcile(environ, since="2h")
    plain.release()
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert len(batches(plain)) == 1
    assert_exact(proxy_db, plain)


def test_a_sender_that_was_killed_leaves_an_open_attempt(
    proxy_db: Database, plain: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = environment(proxy_db, plain)
    customers(proxy_db, 6)
    reconcile(environ, since="2h")
    plan_again(proxy_db)
    assert reconcile(environ).delivered.accepted == 0
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 6
    assert len(batches(plain)) == 1
    assert_exact(proxy_db, plain)
    assert proxy_db.fetch(f"SELECT DISTINCT failure FROM {EVENTS}") == [(LOST,)]
    assert LOST in capsys.readouterr().out


def test_no_connection_leaves_nothing_open(proxy_db: Database, plain: Sandbox) -> None:
    environ = environment(proxy_db, plain)
    proxy_db.insert(spend_row())
    # Its connections close and are refused from the last question before the first batch on.
    plain.faults({"kind": "refuse", "commit": True, "seconds": 60, "path": "/api/v1/events", "method": "GET"})
    with pytest.raises(LagoError, match="can't be reached"):
        reconcile(environ, since="2h")
    assert proxy_db.fetch(f"SELECT open_since, attempts FROM {EVENTS}") == [(None, 0)]
    plain.accept()
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, plain)


@pytest.mark.proof
def test_poison_is_found_in_smaller_batches_each_time(proxy_db: Database, plain: Sandbox) -> None:
    environ = environment(proxy_db, plain)
    customers(proxy_db, 20)
    plain.faults({"kind": "status", "count": None, "external_subscription_id": "customer 7", "method": "POST"})
    since: str | None = "2h"
    for _ in range(16):
        with suppress(LagoError):
            reconcile(environ, since=since)
        since = None
        let_minutes_pass(proxy_db)
    assert states(proxy_db) == {"accepted": 19, "planned": 1}, "too little shows that Lago takes others meanwhile"
    for number in range(30):
        proxy_db.insert(spend_row(end_user=f"later {number}"))
        reconcile(environ)
        let_minutes_pass(proxy_db)
        if "quarantined" in states(proxy_db):
            break
    assert states(proxy_db) == {"accepted": 20 + number, "quarantined": 1}
    [(customer, answer)] = proxy_db.fetch(f"SELECT customer, answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert (customer, answer) == ("customer 7", "it answers 500 each time, while Lago takes other events")
    assert_exact(proxy_db, plain, where="end_user <> 'customer 7'", undelivered=1)


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_with_deduplication_the_same_bytes_go_again_at_once(
    fault: dict[str, Any], proxy_db: Database, deduplicating: Sandbox
) -> None:
    environ = environment(proxy_db, deduplicating, RECONCILE_DEDUPLICATION="true")
    customers(proxy_db, 12)
    deduplicating.faults({**fault, "path": BATCH})
    assert reconcile(environ, since="2h").delivered.accepted == 12
    assert counted(deduplicating) == used(proxy_db)


def test_deduplication_that_is_declared_and_not_there_would_bill_twice(proxy_db: Database, plain: Sandbox) -> None:
    """Why it has to be declared: no API of Lago's tells it, and this is what a wrong word costs."""
    proxy_db.insert(spend_row(spend=1.0))
    plain.faults({"kind": "commit_then_500", "path": BATCH})
    reconcile(environment(proxy_db, plain, RECONCILE_DEDUPLICATION="true"), since="2h")
    [usage] = counted(plain).values()
    assert usage.cost == 2
