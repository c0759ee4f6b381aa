"""An event is called poison only on proof: it fails alone, round after round, while Lago takes others.

What each answer means is tried in tests/lago/test_answers.py, what follows from it in thousands of tests/worlds.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.model.errors import LagoAwayError, LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    EVENTS,
    LAGOS_400,
    QUICK,
    assert_exact,
    batches,
    customers,
    environment,
    let_minutes_pass,
    reconcile,
    reconcile_while_undecided,
    states,
)

SMALL = replace(QUICK, batch=10)
UNHURRIED = replace(QUICK, rest=1.0)
"""What fails rests until others have had their turn, also on a busy machine."""


def as_after_many_rounds(ledger: Database) -> None:
    """Let what a gateway refuses have failed alone in three more rounds: two are left."""
    ledger.fetch("UPDATE reconciler.batch SET proof = 60 WHERE proof > 0 AND proof < 60")


@pytest.mark.proof
def test_a_lago_that_refuses_whatever_it_is_sent_empties_nothing_into_quarantine(
    proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 300)
    lago.faults({"kind": "status", "status": 400, "body": LAGOS_400, "count": None, "path": BATCH})
    with pytest.raises(LagoError, match=r"400.*All events stay planned"):
        reconcile(environment(proxy_db, lago), since="2h", limits=UNHURRIED)
    assert states(proxy_db) == {"planned": 300}
    assert len(batches(lago)) < 60, "it gives up soon"
    lago.clear_faults()
    let_minutes_pass(proxy_db)
    assert reconcile(environment(proxy_db, lago)).delivered.accepted == 300
    assert_exact(proxy_db, lago)


def test_a_lago_that_begins_to_refuse_everything_in_the_middle_of_a_batch_empties_nothing_into_quarantine(
    proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 40)
    refusal: dict[str, Any] = {"kind": "status", "status": 400, "body": LAGOS_400, "path": BATCH}
    taken = {"kind": "slow", "seconds": 0, "path": BATCH}
    lago.faults(refusal, taken, {**refusal, "count": None})  # its first half is taken, and then nothing
    with pytest.raises(LagoError, match=r"400.*All events stay planned"):
        reconcile(environment(proxy_db, lago), since="2h", limits=UNHURRIED)
    assert states(proxy_db) == {"accepted": 20, "planned": 20}


@pytest.mark.proof
def test_an_event_that_lago_never_answers_keeps_nothing_else_of_its_batch_from_lago(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 8)
    lago.faults({"kind": "hang", "seconds": 5, "count": None, "path": BATCH, "external_subscription_id": "customer 3"})
    for number in range(3):
        with suppress(LagoError):
            reconcile(environ, since=None if number else "2h", limits=replace(QUICK, request=0.2))
        let_minutes_pass(proxy_db)
    assert states(proxy_db) == {"accepted": 7, "planned": 1}


def test_without_deduplication_one_failure_does_not_end_the_pass(proxy_db: Database) -> None:
    with Sandbox(store="clickhouse", deduplication=False) as lago:
        customers(proxy_db, 60)
        lago.faults({"kind": "status", "status": 500, "path": BATCH})
        assert reconcile(environment(proxy_db, lago), since="2h", limits=SMALL).delivered.accepted == 50
        assert states(proxy_db) == {"accepted": 50, "planned": 10}
        let_minutes_pass(proxy_db)
        assert reconcile(environment(proxy_db, lago)).delivered.accepted == 10
        assert_exact(proxy_db, lago)


def test_without_deduplication_a_lago_that_fails_in_a_row_ends_the_pass(proxy_db: Database) -> None:
    with Sandbox(store="clickhouse", deduplication=False) as lago:
        customers(proxy_db, 100)
        lago.faults({"kind": "status", "status": 500, "count": None, "path": BATCH})
        with pytest.raises(LagoError, match=r"it answers 500.*stay planned"):
            reconcile(environment(proxy_db, lago), since="2h", limits=SMALL)
        assert len(batches(lago)) <= 6, "it gives up soon"
        assert states(proxy_db) == {"planned": 100}


@pytest.mark.proof
def test_an_event_that_a_gateway_refuses_stops_no_other_rests_and_is_quarantined_after_many_times(
    proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 8)
    lago.faults({"kind": "html", "status": 403, "count": None, "path": BATCH, "external_subscription_id": "customer 7"})
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h")
    assert states(proxy_db) == {"accepted": 7, "planned": 1}
    lago.clear_requests()
    reconcile(environ)
    assert not batches(lago), "it rests"
    as_after_many_rounds(proxy_db)
    reconcile_while_undecided(environ, proxy_db)
    [(customer, answer)] = proxy_db.fetch(f"SELECT customer, answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert customer == "customer 7"
    assert "403" in answer
    assert answer.endswith("each time, while Lago takes other events")


def test_a_gateway_that_dislikes_a_name_in_an_address_stops_no_other(proxy_db: Database, lago: Sandbox) -> None:
    old = datetime.now(UTC) - timedelta(minutes=70)
    proxy_db.insert(*(spend_row(end_user=name, startTime=old) for name in ("<script>", "acme", "globex")))
    lago.faults({"kind": "html", "status": 403, "count": None, "path": "/api/v1/subscriptions/*script*"})
    assert reconcile(environment(proxy_db, lago), since="2h").delivered.accepted == 2
    assert proxy_db.fetch(f"SELECT customer, attempts FROM {EVENTS} WHERE state = 'planned'") == [("<script>", 0)]
    assert proxy_db.fetch("SELECT away_since FROM reconciler.lago") == [(None,)]


@pytest.mark.proof
def test_more_poison_than_a_batch_holds_keeps_nothing_new_from_a_lago_that_was_away(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    start = datetime.now(UTC) - timedelta(minutes=50)
    proxy_db.insert(*(spend_row(end_user="arsenic", model=f"{n}", startTime=start) for n in range(110)))
    lago.faults({"kind": "status", "count": None, "path": BATCH, "external_subscription_id": "arsenic"})
    for number in range(3):
        proxy_db.insert(spend_row(end_user=f"customer {number}"))
        with suppress(LagoError):
            reconcile(environ, since=None if number else "2h")
        let_minutes_pass(proxy_db)
    waiting = proxy_db.fetch(f"SELECT DISTINCT customer FROM {EVENTS} WHERE state = 'planned' ORDER BY 1")
    assert waiting in ([("arsenic",)], [("arsenic",), ("customer 0",)]), "the first was put in a batch with poison"


@pytest.mark.proof
def test_poison_that_is_the_last_thing_left_is_quarantined_as_new_usage_is_accepted(
    proxy_db: Database, lago: Sandbox
) -> None:
    """Nothing else waits that could show whether Lago works: what was accepted before, and what comes, shows it."""
    environ = environment(proxy_db, lago)
    customers(proxy_db, 5)
    reconcile(environ, since="2h")
    proxy_db.insert(spend_row(end_user="arsenic"))
    lago.faults({"kind": "status", "count": None, "path": BATCH, "external_subscription_id": "arsenic"})
    unreachable = 0
    for number in range(8):
        try:
            reconcile(environ)
        except LagoAwayError:
            unreachable += 1
        let_minutes_pass(proxy_db)
        if "planned" not in states(proxy_db):
            break
        proxy_db.insert(spend_row(end_user=f"later {number}"))
    assert states(proxy_db).keys() == {"accepted", "quarantined"}
    assert unreachable <= 3, "only while nothing new shows that Lago works"
    assert proxy_db.fetch("SELECT away_since FROM reconciler.lago") == [(None,)]
    assert_exact(proxy_db, lago, where="end_user <> 'arsenic'", undelivered=1)


def test_poison_alone_with_a_lago_that_gets_nothing_else_proves_nothing(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(end_user="arsenic"))
    lago.faults({"kind": "status", "count": None, "path": BATCH})
    for number in range(3):
        with suppress(LagoAwayError):
            reconcile(environ, since=None if number else "2h")
        let_minutes_pass(proxy_db)
    assert states(proxy_db) == {"planned": 1}
    assert proxy_db.fetch("SELECT proof FROM reconciler.batch") == [(0,)]
