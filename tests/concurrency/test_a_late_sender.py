"""A sender whose lease has ended comes back late: whatever another did meanwhile, the ledger says what Lago has."""

from collections.abc import Callable

import pytest

from reconciler.sandbox import Sandbox
from tests import commands
from tests.conftest import Database
from tests.crash.runner import Reconcile
from tests.support import BATCH, EVENTS, assert_exact, backlog, batches, end_leases, let_minutes_pass, reconcile, states

INVALID = {
    "kind": "status",
    "status": 422,
    "body": '{"status": 422, "code": "validation_errors", "error_details": {"0": {"timestamp": ["invalid_format"]}}}',
    "path": BATCH,
}
ACCEPTS = "statement UPDATE reconciler.batch SET state = 'accepted'"
GIVES_BACK = "statement UPDATE reconciler.batch SET leased_until = NULL"
SPLITS = "statement WITH ours AS ( SELECT * FROM"
SENDS = f"request POST {BATCH}"


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter with one event planned; a second sender, stopped too, might hold its lock."""
    return backlog(proxy_db, lago, 1, RECONCILE_CONNECTIONS="1")


def late(environ: dict[str, str], ledger: Database, *, before: str, meanwhile: Callable[[], None]) -> tuple[int, str]:
    """Run a pass that stops before a step until its lease has ended and this was done; return how it ended."""
    with Reconcile(environ, stop_near=before) as first:
        assert first.stopped(), first.err
        end_leases(ledger)
        meanwhile()
        first.go_on()
        return first.wait(60), first.err


def test_both_are_told_that_it_is_accepted(environ: dict[str, str], proxy_db: Database, lago: Sandbox) -> None:
    """The other's is a duplicate, which it compares; the late one finds the answer recorded."""

    def another() -> None:
        assert reconcile(environ).delivered.accepted == 1

    assert late(environ, proxy_db, before=ACCEPTS, meanwhile=another) == (0, "")
    assert len(batches(lago)) == 2
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_where_a_repetition_would_count_the_other_reads_back_what_the_late_one_sent(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    environ = backlog(proxy_db, clickhouse, 1, RECONCILE_CONNECTIONS="1")

    def another() -> None:
        assert reconcile(environ).delivered.accepted == 0, "it may have been sent, and can't be seen yet"
        let_minutes_pass(proxy_db)
        assert reconcile(environ).delivered.accepted == 1

    assert late(environ, proxy_db, before=ACCEPTS, meanwhile=another) == (0, "")
    assert len(batches(clickhouse)) == 1
    assert_exact(proxy_db, clickhouse)


def test_what_goes_a_second_time_after_another_s_was_accepted_is_a_duplicate(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    def another() -> None:
        assert reconcile(environ).delivered.accepted == 1

    code, said = late(environ, proxy_db, before=SENDS, meanwhile=another)
    assert code == 0
    assert "Traceback" not in said
    assert [request["status"] for request in lago.requests() if request["path"] == BATCH] == [200, 422]
    assert_exact(proxy_db, lago)


def test_a_late_refusal_does_not_quarantine_what_another_s_try_got_in(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    lago.faults(INVALID)

    def another() -> None:
        assert reconcile(environ).delivered.accepted == 1

    code, said = late(environ, proxy_db, before=SPLITS, meanwhile=another)
    assert "Traceback" not in said
    assert code == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_late_failure_does_not_free_what_another_is_sending(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    """Its release would let a third sender send the event once more while the second is at it."""
    lago.faults({"kind": "status", "status": 500, "path": BATCH, "count": 6})
    with Reconcile(environ, stop_near=GIVES_BACK) as first:
        assert first.stopped(), first.err
        end_leases(proxy_db)
        lago.clear_faults()
        with Reconcile(environ, stop_near=SENDS) as second:
            assert second.stopped(), second.err
            first.go_on()
            assert first.wait(60) == 1
            [(leased,)] = proxy_db.fetch(f"SELECT leased_until > clock_timestamp() FROM {EVENTS}")
            assert leased
            assert reconcile(environ).delivered.accepted == 0, "a third finds nothing to take"
            second.go_on()
            assert second.wait(60) == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_late_acceptance_changes_nothing_and_a_retry_finds_the_event_in_lago(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    def another() -> None:
        lago.faults(INVALID)
        assert reconcile(environ).delivered.quarantined == 1

    code, said = late(environ, proxy_db, before=ACCEPTS, meanwhile=another)
    assert "Traceback" not in said
    assert code == 3
    assert states(proxy_db) == {"quarantined": 1}
    assert commands.run(environ, "quarantine", "retry", "--all").returncode == 0
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, lago)
