"""The ledger fails in the middle of a delivery: all threads end, in one clear sentence, and the next pass is exact."""

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.crash.runner import Reconcile
from tests.support import BATCH, EVENTS, assert_exact, backlog, batches, let_minutes_pass, reconcile, states

# What a person would meet as a full disk, a wrong trigger or a policy.
REFUSAL = """
CREATE FUNCTION reconciler.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON reconciler.batch FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION reconciler.refuse()
"""
TAKEN = "NEW.attempts > OLD.attempts"
ACCEPTED = "NEW.state = 'accepted'"


def refuse(ledger: Database, when: str) -> None:
    ledger.fetch(REFUSAL.format(when=when))


def give_way(ledger: Database) -> None:
    ledger.fetch("DROP FUNCTION reconciler.refuse CASCADE")


def failed(environ: dict[str, str], said: str, *, senders: int = 4) -> None:
    """Run a pass that must end soon, with code 1 and one sentence that names the ledger's setting and says this."""
    with Reconcile(environ, senders=senders) as one:
        assert one.wait(60) == 1
        [line] = one.err.splitlines()
    assert line.startswith("reconcile: DATABASE_URL (postgresql://")
    assert said in line


def exact_again(environ: dict[str, str], source: Database, lago: Sandbox) -> None:
    lago.clear_faults()
    let_minutes_pass(source)
    assert reconcile(environ).exit_code == 0
    assert_exact(source, lago)


@pytest.mark.proof
def test_answers_that_it_does_not_take_end_the_pass_before_more_is_sent(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 400)
    lago.faults({"kind": "slow", "seconds": 0.3, "count": None, "path": BATCH})
    refuse(proxy_db, ACCEPTED)

    failed(environ, "not today", senders=1)

    assert 1 <= len(batches(lago)) <= 3, "of 4"
    assert states(proxy_db) == {"planned": 400}
    give_way(proxy_db)
    exact_again(environ, proxy_db, lago)


@pytest.mark.proof
def test_answers_that_it_did_not_take_are_read_back_where_a_repetition_would_count(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    environ = backlog(proxy_db, clickhouse, 30)
    refuse(proxy_db, ACCEPTED)

    failed(environ, "not today")

    give_way(proxy_db)
    exact_again(environ, proxy_db, clickhouse)
    assert len(batches(clickhouse)) == 1


@pytest.mark.proof
def test_a_lock_that_outlasts_the_statement_timeout_ends_the_pass(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 30, RECONCILE_STATEMENT_TIMEOUT="1s")
    with Reconcile(environ, stop_near=f"answer POST {BATCH}") as one:
        assert one.stopped()
        with proxy_db.connect(autocommit=False) as another:
            another.execute("SELECT FROM reconciler.batch FOR UPDATE")
            one.go_on()
            assert one.wait(60) == 1
        [line] = one.err.splitlines()
    assert "a statement took longer than 1 s and was stopped; nothing is lost, run again" in line
    exact_again(environ, proxy_db, lago)


def test_a_batch_that_it_does_not_give_out_ends_the_pass_before_anything_is_sent(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = backlog(proxy_db, lago, 30)
    refuse(proxy_db, TAKEN)

    failed(environ, "not today")

    assert batches(lago) == []
    assert proxy_db.fetch(f"SELECT DISTINCT attempts, leased_until FROM {EVENTS}") == [(0, None)]
    give_way(proxy_db)
    exact_again(environ, proxy_db, lago)


@pytest.mark.proof
def test_a_later_batch_that_it_does_not_give_out_ends_the_senders_too(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 900)
    lago.faults({"kind": "slow", "seconds": 0.25, "count": None, "path": BATCH})
    proxy_db.fetch("CREATE SEQUENCE reconciler.taken")
    refuse(proxy_db, f"{TAKEN} AND nextval('reconciler.taken') > 5")

    failed(environ, "not today")

    assert 2 <= len(batches(lago)) <= 5, "of 9"
    give_way(proxy_db)
    exact_again(environ, proxy_db, lago)
