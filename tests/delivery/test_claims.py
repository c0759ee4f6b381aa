"""A claim is its sender's while the lease lasts: it is kept alive, and what has passed to another is left alone."""

import threading
import time
from datetime import timedelta
from functools import partial

import pytest

from reconciler.delivery import dispatch
from reconciler.delivery.deliver import Delivery
from reconciler.lago.client import CONNECT_SECONDS, REQUEST_SECONDS
from reconciler.ledger.outbox import LEASE, RENEW_SECONDS, Outbox
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    assert_exact,
    batches,
    customers,
    end_leases,
    environment,
    let_minutes_pass,
    reconcile,
    states,
)


def leased(ledger: Database) -> int:
    [(known,)] = ledger.fetch("SELECT to_regclass('reconciler.event') IS NOT NULL")
    return known and int(ledger.fetch("SELECT count(leased_until) FROM reconciler.event")[0][0])


def test_what_is_claimed_ahead_of_a_slow_lago_stays_claimed(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.ledger.outbox.LEASE", timedelta(seconds=3))
    for module in ("pipeline", "claim"):
        monkeypatch.setattr(f"reconciler.{module}.RENEW_SECONDS", 0.3)
    monkeypatch.setattr(dispatch, "Delivery", partial(Delivery, senders=1, batch=5))
    environ = environment(proxy_db, lago)
    customers(proxy_db, 30)
    slow = {"kind": "slow", "path": BATCH}
    lago.faults({**slow, "seconds": 2.5}, {**slow, "seconds": 0.5, "count": None})
    first = threading.Thread(target=reconcile, args=[environ], kwargs={"since": "2h"})
    first.start()
    while not leased(proxy_db):
        time.sleep(0.05)
    time.sleep(3.2)  # its claims would have ended by now
    assert reconcile(environ).delivered.accepted == 0
    first.join()
    assert_exact(proxy_db, lago)
    assert proxy_db.fetch("SELECT DISTINCT attempts, failure FROM reconciler.event") == [(1, None)]


def test_a_lease_outlives_a_request_whose_steps_take_as_long_as_they_may() -> None:
    """It is renewed before a request if it is older than that; then connect, write, wait for an answer, read it."""
    longest = timedelta(seconds=RENEW_SECONDS + CONNECT_SECONDS + 3 * REQUEST_SECONDS)
    assert longest < LEASE


def test_what_waits_for_a_rate_limit_stays_claimed(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.ledger.outbox.LEASE", timedelta(seconds=2))
    for module in ("pipeline", "claim"):
        monkeypatch.setattr(f"reconciler.{module}.RENEW_SECONDS", 0.3)
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    lago.faults({"kind": "status", "status": 429, "headers": {"Retry-After": "4"}, "path": BATCH})
    first = threading.Thread(target=reconcile, args=[environ], kwargs={"since": "2h"})
    first.start()
    while not batches(lago):
        time.sleep(0.05)
    time.sleep(2.5)  # its claim would have ended by now
    assert reconcile(environ).delivered.accepted == 0
    first.join()
    assert_exact(proxy_db, lago)
    assert proxy_db.fetch("SELECT attempts, failure FROM reconciler.event") == [(1, "429, it asks to wait")]


def test_who_has_lost_a_part_of_a_claim_sends_the_rest(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of two fails until each goes alone; while the first is tried again, the other gets another sender."""
    monkeypatch.setattr("reconciler.delivery.claim.RENEW_SECONDS", 0.05)
    monkeypatch.setattr("reconciler.delivery.claim.FIRST_PAUSE", 0.2)
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(end_user="one"), spend_row(end_user="two"))
    lago.faults({"kind": "status", "status": 500, "path": BATCH, "count": 4})

    def claimed_by_another() -> None:
        while len(batches(lago)) < 4:
            time.sleep(0.01)
        proxy_db.fetch(
            "UPDATE reconciler.event SET open_since = clock_timestamp() WHERE NOT payload LIKE %s",
            f"%{batches(lago)[3][0]}%",
        )

    another = threading.Thread(target=claimed_by_another)
    another.start()
    assert reconcile(environ, since="2h").delivered.accepted == 1
    another.join()
    assert [len(ids) for ids in batches(lago)] == [2, 2, 2, 1, 1]
    assert states(proxy_db) == {"accepted": 1, "planned": 1}
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, lago)


@pytest.fixture
def outbox(proxy_db: Database, lago: Sandbox) -> Outbox:
    """The outbox of a ledger with one planned event."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    lago.faults({"kind": "status", "status": 401, "path": BATCH})
    with pytest.raises(LagoError):
        reconcile(environ, since="2h")
    return Outbox("default", open_ledger(load_settings(environ=environ)))


def test_who_has_lost_a_claim_decides_nothing_about_the_event(proxy_db: Database, outbox: Outbox) -> None:
    [late] = outbox.claim(100)
    end_leases(proxy_db)
    [mine] = outbox.claim(100)
    before = proxy_db.fetch("SELECT * FROM reconciler.event")
    assert outbox.renew([late]) == {}
    assert outbox.move(late, "1.000") is None
    outbox.settle([late], "quarantined", "it answers 500")
    outbox.settle([late], "held", "closed", held_for="closed period")
    outbox.release([late], suspected={late.transaction_id: 5})
    assert proxy_db.fetch("SELECT * FROM reconciler.event") == before
    outbox.settle([mine], "quarantined", "422")
    assert proxy_db.fetch("SELECT state, answer FROM reconciler.event") == [("quarantined", "422")]


@pytest.mark.parametrize("state", ["quarantined", "held"])
def test_what_lago_took_is_accepted_whatever_was_thought_of_it_meanwhile(
    state: str, proxy_db: Database, outbox: Outbox
) -> None:
    [late] = outbox.claim(100)
    end_leases(proxy_db)
    [other] = outbox.claim(100)
    outbox.settle([other], state, "…", held_for="closed period" if state == "held" else None)  # type: ignore[arg-type]
    outbox.settle([late], "accepted")
    assert proxy_db.fetch("SELECT state, held_for, open_since FROM reconciler.event") == [("accepted", None, None)]
