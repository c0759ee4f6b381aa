"""An outage is not poison: a healthy event is never quarantined for what Lago does to all of them.

Outages of all kinds are in tests/worlds.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.errors import LagoAwayError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    EVENTS,
    QUICK,
    assert_exact,
    backlog,
    batches,
    environment,
    let_minutes_pass,
    reconcile,
    states,
)

FAILING = {"kind": "status", "status": 500, "path": BATCH, "count": None}
ALONE = replace(QUICK, batch=1)
"""Each event goes in a batch of its own, as it does after a long outage has halved them all."""

INVALID = {
    "kind": "status",
    "status": 422,
    "body": '{"status": 422, "code": "validation_errors", "error_details": {"0": {"timestamp": ["invalid_format"]}}}',
    "path": BATCH,
    "count": None,
}


def models(customer: str, count: int, *, minutes: int = 20) -> list[dict[str, object]]:
    """Usage of one customer by so many models, so long ago: an event each."""
    start = datetime.now(UTC) - timedelta(minutes=minutes)
    return [spend_row(end_user=customer, model=f"model {number}", startTime=start) for number in range(count)]


def after_a_long_outage(source: Database, lago: Sandbox, events: int) -> dict[str, str]:
    """Let so many events fail, each in a batch of its own; Lago still fails. Return the settings."""
    environ = environment(source, lago)
    source.insert(*models("old", events))
    lago.faults(FAILING)
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h", limits=ALONE)
    let_minutes_pass(source)
    return environ


def customers(ledger: Database, state: str) -> set[str]:
    return {name for (name,) in ledger.fetch(f"SELECT customer FROM {EVENTS} WHERE state = %s", state)}


@pytest.mark.proof
def test_a_lago_that_only_refuses_stores_nothing_and_proves_nothing(proxy_db: Database, lago: Sandbox) -> None:
    """It finds invalid events by validation, and fails on all that it would have to store."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(*models("valid", 2), *models("invalid", 6))
    lago.faults(FAILING | {"external_subscription_id": "valid"}, INVALID)
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    assert customers(proxy_db, "quarantined") == {"invalid"}
    assert customers(proxy_db, "planned") == {"valid"}
    lago.clear_faults()
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 2


def test_events_that_failed_when_an_outage_ended_go_in_the_same_pass(proxy_db: Database, lago: Sandbox) -> None:
    """Their batch fails two rounds and is halved twice: what is taken after that is no reason to drop them."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(*models("healthy", 8))
    lago.faults(FAILING | {"count": 6})
    assert reconcile(environ, since="2h").delivered.accepted == 8
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_events_that_failed_alone_all_through_an_outage_go_once_it_is_over(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    """Where a repetition would count they wait to be read back; others that are taken meanwhile prove nothing."""
    environ = after_a_long_outage(proxy_db, clickhouse, 3)
    with pytest.raises(LagoAwayError):
        reconcile(environ)
    assert {len(ids) for ids in batches(clickhouse)} == {1}

    clickhouse.clear_faults()
    proxy_db.insert(spend_row(end_user="new"))
    reconcile(environ)
    assert customers(proxy_db, "accepted") >= {"new"}
    assert customers(proxy_db, "planned") == {"old"}, "the last one that failed can't be read back yet"
    let_minutes_pass(proxy_db)
    reconcile(environ)
    assert states(proxy_db) == {"accepted": 4}
    assert_exact(proxy_db, clickhouse)


@pytest.mark.proof
def test_an_event_that_many_passes_claimed_and_never_sent_goes(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Each was killed before its request: so many attempts are no sign of poison, whatever Lago takes meanwhile."""
    environ = backlog(proxy_db, clickhouse, 1)
    proxy_db.fetch(
        """UPDATE reconciler.batch SET attempts = 20, attempted_at = clock_timestamp() - interval '1 hour',
                                       open_since = clock_timestamp(), leased_until = clock_timestamp()"""
    )
    proxy_db.insert(spend_row(end_user="another"))
    assert reconcile(environ).delivered.accepted == 1
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, clickhouse)


@pytest.mark.proof
def test_poison_is_found_where_each_attempt_is_read_back_before_the_next(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    """Lago holds none of it each time: that takes back no failure, and so it is halved, and then convicted."""
    environ = environment(proxy_db, clickhouse)
    proxy_db.insert(*models("poison", 1), *models("healthy", 1))
    clickhouse.faults(FAILING | {"external_subscription_id": "poison"})
    for number in range(20):
        proxy_db.insert(spend_row(end_user="another", model=f"model {number}"))
        with suppress(LagoAwayError):
            reconcile(environ, since=None if number else "2h")
        if "quarantined" in states(proxy_db):
            break
        let_minutes_pass(proxy_db)
    assert customers(proxy_db, "quarantined") == {"poison"}
    assert customers(proxy_db, "planned") == set()
    clickhouse.clear_faults()
    assert_exact(proxy_db, clickhouse, undelivered=1, where="end_user <> 'poison'")
