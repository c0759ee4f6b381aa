"""A batch is its sender's while the lease lasts: no other takes it, and what has passed to another is left alone."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from reconciler.ledger.batches import Part, Seen
from reconciler.ledger.outbox import Outbox, split_off
from reconciler.ledger.store import open_ledger
from reconciler.sandbox import Sandbox
from reconciler.settings.limits import Limits
from reconciler.settings.load import load_settings
from tests.conftest import Database
from tests.support import (
    BATCH,
    EVENTS,
    QUICK,
    assert_exact,
    backlog,
    batches,
    customers,
    end_leases,
    environment,
    reconcile,
)


def test_a_lease_outlives_a_request_whose_steps_take_as_long_as_they_may() -> None:
    """Connect, write, wait for an answer, read it."""
    limits = Limits()
    assert limits.connect + 3 * limits.request < limits.lease


def test_what_a_slow_lago_is_at_is_left_to_its_sender(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 3)
    lago.faults({"kind": "slow", "path": BATCH, "seconds": 2})
    first = threading.Thread(target=reconcile, args=[environ], kwargs={"since": "2h"})
    first.start()
    while lago.pending_faults():
        time.sleep(0.05)
    assert reconcile(environ).delivered.accepted == 0
    first.join()
    assert len(batches(lago)) == 1
    assert proxy_db.fetch(f"SELECT DISTINCT attempts, failure FROM {EVENTS}") == [(1, None)]
    assert_exact(proxy_db, lago)


def test_what_waits_for_a_rate_limit_goes_on_the_wire_once(proxy_db: Database, lago: Sandbox) -> None:
    """Meanwhile another pass may take what was given back: Lago refused it, so it is not there."""
    environ = environment(proxy_db, lago)
    customers(proxy_db, 3)
    lago.faults({"kind": "status", "status": 429, "headers": {"Retry-After": "2"}, "path": BATCH})
    first = threading.Thread(target=reconcile, args=[environ], kwargs={"since": "2h"})
    first.start()
    while not batches(lago):
        time.sleep(0.05)
    assert reconcile(environ).delivered.accepted in {0, 3}
    first.join()
    assert [request["status"] for request in lago.requests() if request["path"] == BATCH] == [429, 200]
    assert_exact(proxy_db, lago)


@pytest.fixture
def outbox(proxy_db: Database, lago: Sandbox) -> Iterator[Outbox]:
    """The outbox of a ledger with one planned batch of two."""
    ledger = open_ledger(load_settings(environ=backlog(proxy_db, lago, 2)))
    proxy_db.fetch("UPDATE reconciler.batch SET asked_at = clock_timestamp(), admitted_at = clock_timestamp()")
    yield Outbox("default", lago.url, ledger, QUICK)
    ledger.close()


def test_who_has_lost_a_batch_decides_nothing_about_it(proxy_db: Database, outbox: Outbox) -> None:
    late = outbox.take()
    assert late is not None
    assert outbox.take() is None, "one sender has it"
    end_leases(proxy_db)
    mine = outbox.take()
    assert mine is not None
    assert (mine.lost, mine.opened_before is not None) == (True, True)
    rows = "SELECT batch.*, event.batch FROM reconciler.batch JOIN reconciler.event ON event.batch = batch.id"
    before = proxy_db.fetch(rows)
    assert not outbox.accept(late)
    assert not outbox.split(late, [Part([0], "quarantined", answer="422"), Part([1], "planned")])
    outbox.give_back(late, "it answers 500", failed=True, proof=10, rest=timedelta(hours=1))
    assert proxy_db.fetch(rows) == before
    assert outbox.split(mine, [Part([0], "quarantined", answer="422"), Part([1], "accepted")])
    assert proxy_db.fetch(f"SELECT state, answer FROM {EVENTS} ORDER BY state") == [
        ("accepted", None),
        ("quarantined", "422"),
    ]


def test_of_two_that_part_a_batch_at_once_the_second_leaves_it_alone(proxy_db: Database, outbox: Outbox) -> None:
    """It saw a batch of two events: its places are not those of the one that is left."""
    [(id_, attempt)] = proxy_db.fetch("SELECT id, attempts FROM reconciler.batch")
    made: list[list[int]] = []

    def hold_the_first_event() -> None:
        with outbox.ledger.transaction() as connection:
            held = Part([0], "held", held_for="conflict")
            made.append(split_off(connection, Seen(id_, attempt, "planned", 2), [held], stays=Part((), "planned")))
            if len(made) == 1:
                second.start()
                while not proxy_db.fetch("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                    time.sleep(0.05)

    second = threading.Thread(target=hold_the_first_event)
    hold_the_first_event()
    second.join()
    assert [len(parts) for parts in made] == [1, 0]
    assert proxy_db.fetch("SELECT state, events FROM reconciler.batch ORDER BY state") == [("held", 1), ("planned", 1)]
    assert proxy_db.fetch(f"SELECT state FROM {EVENTS} ORDER BY window_start, bucket") == [("held",), ("planned",)]


@pytest.mark.parametrize("state", ["accepted", "quarantined", "held"])
def test_what_another_has_recorded_meanwhile_stays(state: str, proxy_db: Database, outbox: Outbox) -> None:
    late = outbox.take()
    end_leases(proxy_db)
    other = outbox.take()
    assert late
    assert other
    held_for = "closed period" if state == "held" else None
    assert outbox.split(other, [Part([0, 1], state, held_for=held_for)])  # type: ignore[arg-type]
    assert not outbox.accept(late)
    assert proxy_db.fetch(f"SELECT DISTINCT state, held_for FROM {EVENTS}") == [(state, held_for)]


def test_how_often_it_failed_survives_a_sender_that_was_lost(proxy_db: Database, outbox: Outbox) -> None:
    first = outbox.take()
    assert first
    outbox.give_back(first, "it answers 500", stored=True, failed=True)
    lost = outbox.take()
    assert lost
    assert (lost.failures, lost.lost) == (1, False)
    end_leases(proxy_db)
    found = outbox.take()
    assert found
    assert (found.failures, found.lost, found.attempts) == (1, True, 3)
