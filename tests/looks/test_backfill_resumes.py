"""A backfill goes in chunks that commit one by one; one that was killed is finished by the next pass."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg
import pytest

from reconciler.sandbox import Sandbox
from tests import process
from tests.conftest import Database, spend_row
from tests.looks.conftest import looked_at
from tests.support import assert_exact, let_time_pass, reconcile, window

# A look that has come past a part of its way waits there for the test, in the middle of a transaction.
_WAIT_IN_THE_MIDDLE = """
CREATE FUNCTION public.wait_in_the_middle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position > OLD.since + (OLD.until - OLD.since) * {part} THEN
        PERFORM pg_advisory_xact_lock_shared(42);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER wait_in_the_middle BEFORE UPDATE OF position ON reconciler.look
    FOR EACH ROW EXECUTE FUNCTION public.wait_in_the_middle();
"""


def _until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def _in_the_middle(
    database: Database, environ: dict[str, str], *arguments: str, part: float = 0.5
) -> Iterator["subprocess.Popen[str]"]:
    """Start a real pass and wait until its look has come so far; it goes on after the `with` block."""
    database.fetch(_WAIT_IN_THE_MIDDLE.format(part=part))
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"
    with psycopg.connect(database.url, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(42)")
        running = process.start(environ, *arguments)
        _until(lambda: database.fetch(waiting))
        yield running


def _kill_in_the_middle(database: Database, environ: dict[str, str], *arguments: str) -> None:
    """Start a real pass, wait until its look is in the middle, and kill it with SIGKILL."""
    with _in_the_middle(database, environ, *arguments) as running:
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    # What was left of it in Postgres notices that nobody is there.
    sessions = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'reconciler/%'"
    )
    _until(lambda: not database.fetch(sessions))


def _look(database: Database, kind: str) -> tuple[datetime, datetime, datetime, datetime | None]:
    [look] = database.fetch("SELECT since, position, until, finished_at FROM reconciler.look WHERE kind = %s", kind)
    return look


@pytest.mark.proof
def test_a_backfill_killed_in_the_middle_is_finished_by_a_plain_pass(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(*(spend_row(startTime=window() - hours * timedelta(hours=4)) for hours in range(60)))
    reconcile(environ)
    _kill_in_the_middle(proxy_db, environ, "--since", "9d")

    since, position, until, finished = _look(proxy_db, "backfill")
    assert since < position < until, "some chunks are done, the rest is not"
    assert finished is None
    [(planned,)] = proxy_db.fetch("SELECT count(*) FROM reconciler.event")
    assert 0 < planned < 54
    assert lago.events() == []

    resumed = reconcile(environ)

    assert _look(proxy_db, "backfill")[3] is not None
    assert resumed.tally.events_planned == 54 - planned, "what was committed is not planned again"
    assert resumed.delivered.accepted == 54
    assert_exact(proxy_db, lago, where=f"\"startTime\" >= '{since:%F %T}'")
    again = reconcile(environ)
    assert (again.tally.events_planned, again.delivered.accepted) == (0, 0)


@pytest.mark.proof
def test_a_fresh_look_goes_between_the_chunks_of_a_backfill(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """However long the backfill: new usage waits for a chunk or two of it."""
    newest = window()
    proxy_db.insert(*(spend_row(startTime=newest - hours * timedelta(hours=4)) for hours in range(50)))
    start = reconcile(environ, since="1h").start
    assert start is not None
    with _in_the_middle(proxy_db, environ, "--since", "9d", part=0.05) as backfill:
        fresh = process.start(environ)
        turn = "SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
        _until(lambda: proxy_db.fetch(turn))
        [(released,)] = proxy_db.fetch("SELECT clock_timestamp()")
    for running in (backfill, fresh):
        running.communicate(timeout=60)
        assert running.returncode == 0
    looked = looked_at(proxy_db)
    assert released < looked[newest] < max(moment for each, moment in looked.items() if each < start)
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_asking_again_for_a_killed_backfill_goes_on_with_it(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(*(spend_row(startTime=window() - hours * timedelta(hours=4)) for hours in range(60)))
    reconcile(environ)
    since = (window() - timedelta(days=9)).isoformat()
    _kill_in_the_middle(proxy_db, environ, "--since", since)
    _, position, _, _ = _look(proxy_db, "backfill")

    resumed = reconcile(environ, since=since)

    assert resumed.since == position, "of the backfill only what was left"
    assert _look(proxy_db, "backfill")[3] is not None
    assert_exact(proxy_db, lago, where=f"\"startTime\" >= '{since}'")


@pytest.mark.proof
def test_a_deep_look_killed_in_the_middle_goes_on_where_it_was(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(*(spend_row(startTime=window() - hours * timedelta(hours=4)) for hours in range(60)))
    environ["RECONCILE_HORIZON"] = "10d"
    reconcile(environ, since="10d")
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = spend + 0.001')
    let_time_pass(proxy_db, "2 days")
    _kill_in_the_middle(proxy_db, environ)
    _, position, until, finished = _look(proxy_db, "deep")
    assert (position < until, finished) == (True, None)

    resumed = reconcile(environ)
    assert resumed.since == position
    assert _look(proxy_db, "deep")[3] is not None
    assert_exact(proxy_db, lago)
