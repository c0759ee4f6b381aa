"""The meter's turn: only who may write the ledger can hold it, and a pass that is frozen loses it."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine

from reconciler.capture import bring
from reconciler.capture.bring import _blocks, copy
from reconciler.database.postgres import cursor
from reconciler.sandbox import Sandbox
from reconciler.settings.limits import Limits
from tests import forks
from tests.conftest import Database, spend_row
from tests.support import TURN, assert_exact, environment, reconcile

GUESSABLE = ("reconciler: meter default", "reconciler: migrations")


@contextmanager
def _stranger(database: Database) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A role that may log in and no more."""
    database.fetch("CREATE ROLE stranger LOGIN PASSWORD 'secret'")
    with psycopg.connect(database.url_of("stranger", "secret"), autocommit=True) as connection:
        yield connection


def test_a_role_without_rights_on_the_ledger_can_hold_up_no_pass(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    with _stranger(proxy_db) as stranger:
        for name in GUESSABLE:
            stranger.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])

        assert not reconcile(environment(proxy_db, lago), since="1d", limits=Limits(backfill_turn=0.1)).skipped

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(TURN.encode())
    assert_exact(proxy_db, lago)


def _pass(environ: dict[str, str], log: Path) -> None:
    forks.redirect(log, log)
    reconcile(environ, limits=Limits(idle=0.5))


@pytest.mark.proof
@pytest.mark.parametrize("databases", ["one", "two"])
def test_a_pass_that_is_frozen_loses_the_turn(
    proxy_db: Database, empty_db: Database, lago: Sandbox, databases: str, tmp_path: Path
) -> None:
    ledger = empty_db if databases == "two" else proxy_db
    environ = environment(proxy_db, lago, ledger=ledger, RECONCILE_STATEMENT_TIMEOUT="3s")
    proxy_db.insert(spend_row())
    reconcile(environ, since="1d")
    proxy_db.insert(spend_row())
    with proxy_db.connect(autocommit=False) as slow:
        slow.execute('LOCK TABLE "LiteLLM_SpendLogs"')
        frozen = forks.start(_pass, environ, tmp_path / "log")
        _wait_for_its_chunk(proxy_db, ledger)
        assert frozen.pid is not None
        os.kill(frozen.pid, signal.SIGSTOP)
    try:
        done = reconcile(environ)
        assert (done.skipped, done.tally.rows) == (False, 1)
    finally:
        frozen.kill()
        frozen.join(10)
    assert_exact(proxy_db, lago, ledger=ledger)


def _wait_for_its_chunk(source: Database, ledger: Database) -> None:
    """Wait until a pass that has the turn waits for the source's table."""
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted AND relation = %s::regclass"
    turn = "SELECT 1 FROM pg_locks WHERE relation = to_regclass('reconciler.meter') AND mode = 'RowShareLock'"
    deadline = time.monotonic() + 60
    while not (source.fetch(waits, '"LiteLLM_SpendLogs"') and ledger.fetch(turn)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_between_blocks_of_rows_the_ledger_waits_as_in_any_transaction(proxy_db: Database, empty_db: Database) -> None:
    """There its limit of idle time holds; in the middle of a COPY it has none."""
    rows = sql.SQL("SELECT number, repeat('x', 1000) FROM generate_series(1, 3500) AS number WHERE number > %(least)s")
    source, ledger = (create_engine(each.url.replace("://", "+psycopg://", 1)) for each in (proxy_db, empty_db))
    empty_db.fetch("CREATE TABLE brought (number bigint, filler text)")
    with source.begin() as read, ledger.begin() as write:
        states = []

        def waiting(blocks: Iterable[bytes]) -> Iterator[bytes]:
            for block in blocks:
                states.append(cursor(write).connection.info.transaction_status)
                yield block

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bring, "_blocks", lambda rows: waiting(_blocks(rows)))
            table = sql.Identifier("brought")
            copy(rows.format(), {"least": 500}, table, read, write, errors_of_write=nullcontext)

    source.dispose()
    ledger.dispose()
    assert empty_db.fetch("SELECT count(*), sum(number) FROM brought") == [(3000, sum(range(501, 3501)))]
    assert len(states) > 2
    assert TransactionStatus.ACTIVE not in states
