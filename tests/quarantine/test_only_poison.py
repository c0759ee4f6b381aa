"""An outage is not poison: a healthy event is never quarantined for what Lago does to all of them."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.errors import LagoAwayError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import BATCH, assert_exact, backlog, batches, environment, let_minutes_pass, reconcile, states

FAILING = {"kind": "status", "status": 500, "path": BATCH, "count": None}
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
    """Let so many events fail, often enough that each goes alone from now on; Lago still fails. Return the settings."""
    environ = environment(source, lago)
    source.insert(*models("old", events))
    lago.faults(FAILING)
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    source.fetch("UPDATE reconciler.event SET attempts = 20")
    let_minutes_pass(source)
    return environ


def customers(ledger: Database, state: str) -> set[str]:
    return {name for (name,) in ledger.fetch("SELECT customer FROM reconciler.event WHERE state = %s", state)}


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
    assert reconcile(environ).delivered.accepted == 2


def test_what_lago_took_before_an_outage_proves_nothing_of_it(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 1)
    # As a pass leaves it that was killed before its request.
    proxy_db.fetch(
        """UPDATE reconciler.event SET attempts = 1, attempted_at = clock_timestamp(), open_since = clock_timestamp(),
                                       leased_until = clock_timestamp() + interval '1 minute'"""
    )
    proxy_db.insert(spend_row(end_user="another"))
    assert reconcile(environ).delivered.accepted == 1

    lago.faults(FAILING)
    let_minutes_pass(proxy_db)
    with pytest.raises(LagoAwayError):
        reconcile(environ)
    assert states(proxy_db) == {"accepted": 1, "planned": 1}
    lago.clear_faults()
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)


def test_what_was_on_the_wire_when_an_outage_began_proves_nothing_of_it(proxy_db: Database, lago: Sandbox) -> None:
    """A full batch of older usage is under way and gets its answer late, after what went at the same time failed."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(*models("early", 100, minutes=50), *models("victim", 1))
    lago.faults(
        {"kind": "slow", "seconds": 0.9, "commit": True, "external_subscription_id": "early", "path": BATCH},
        {"kind": "hang", "seconds": 0.3, "path": BATCH},
        FAILING,
    )
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    assert customers(proxy_db, "accepted") == {"early"}
    assert customers(proxy_db, "planned") == {"victim"}
    lago.clear_faults()
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)


@pytest.mark.parametrize("failures", [6, 8])
def test_an_event_that_failed_alone_when_an_outage_ended_goes_in_the_same_pass(
    failures: int, proxy_db: Database, lago: Sandbox
) -> None:
    """Its batch of 8 fails three times, then 4, 2 and 1 of them; what is taken after that is no reason to drop it."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(*models("healthy", 8))
    lago.faults(FAILING | {"count": failures})
    assert reconcile(environ, since="2h").delivered.accepted == 8
    assert min(len(ids) for ids in batches(lago)[:failures]) == 1
    assert_exact(proxy_db, lago)


def test_events_that_failed_alone_all_through_an_outage_go_once_it_is_over(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    """Where a repetition would count they wait to be read back; others that are taken meanwhile prove nothing."""
    environ = after_a_long_outage(proxy_db, clickhouse, 3)
    with pytest.raises(LagoAwayError):
        reconcile(environ)
    assert [len(ids) for ids in batches(clickhouse)][-3:] == [1] * 3, "each alone by now"

    clickhouse.clear_faults()
    proxy_db.insert(spend_row(end_user="new"))
    assert reconcile(environ).delivered.accepted == 1
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 3
    assert_exact(proxy_db, clickhouse)


def test_an_event_that_many_passes_claimed_and_never_sent_goes(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Each was killed before its request: so many attempts are no sign of poison, whatever Lago takes meanwhile."""
    environ = backlog(proxy_db, clickhouse, 1)
    proxy_db.fetch(
        """UPDATE reconciler.event SET attempts = 20, attempted_at = clock_timestamp() - interval '1 hour',
                                       open_since = clock_timestamp(), leased_until = clock_timestamp()"""
    )
    proxy_db.insert(spend_row(end_user="another"))
    assert reconcile(environ).delivered.accepted == 1
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, clickhouse)


def test_events_that_failed_before_an_outage_ended_in_the_middle_of_a_pass_go_with_the_next(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    environ = after_a_long_outage(proxy_db, clickhouse, 5)
    clickhouse.clear_faults()
    clickhouse.faults(FAILING | {"count": 3})
    for _ in range(3):
        with suppress(LagoAwayError):
            reconcile(environ)
        let_minutes_pass(proxy_db)
    assert states(proxy_db) == {"accepted": 5}
    assert_exact(proxy_db, clickhouse)


def test_a_second_outage_is_no_proof_against_an_event_that_failed_in_the_first(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(*models("healthy", 8))
    works = {"kind": "slow", "seconds": 0, "path": BATCH, "count": 3}
    lago.faults(FAILING | {"count": 6}, works, FAILING)
    reconcile(environ, since="2h")
    assert set(states(proxy_db)) == {"accepted", "planned"}
    lago.clear_faults()
    let_minutes_pass(proxy_db)
    reconcile(environ)
    assert states(proxy_db) == {"accepted": 8}
    assert_exact(proxy_db, lago)
