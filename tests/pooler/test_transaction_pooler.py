"""Through pgbouncer in transaction mode, shared with a writer: passes work, and the writer meets nothing of ours."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from reconciler.database.postgres import _EVERY_TRANSACTION, SET_BASED
from reconciler.demo.litellm import write_rows
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.process import start
from tests.support import assert_exact, environment, let_time_pass, reconcile

pytestmark = pytest.mark.no_ledger

InFrontOf = Callable[[str], str]

# Every setting that a transaction of ours changes, and what a connection of ours asks for.
OURS = [
    *_EVERY_TRANSACTION, *SET_BASED, "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
    "default_transaction_read_only", "default_transaction_isolation",
]  # fmt: skip

# What a session carries from one transaction to the next.
CARRIED = """
SELECT (SELECT json_object_agg(lower(name), setting) FROM pg_settings WHERE lower(name) = ANY(%s)) AS settings,
       (SELECT count(*) FROM pg_settings WHERE source = 'session' AND lower(name) <> ALL(%s)) AS other_settings,
       (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory') AS advisory_locks,
       (SELECT count(*) FROM pg_prepared_statements) AS prepared,
       (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) AS temp_tables,
       (SELECT count(*) FROM pg_listening_channels()) AS channels
"""


class Writer:
    """A proxy's connection to the pooler: it writes rows, and looks at what the session carries."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, prepare_threshold=None)
        self.sessions: set[int] = set()
        self.rows = 0

    def look(self) -> tuple[Any, ...]:
        """One transaction: what it found in the session that it happened to get."""
        with self._connection.transaction():
            self.sessions.add(self._connection.execute("SELECT pg_backend_pid()").fetchone()[0])  # type: ignore[index]
            found = self._connection.execute(CARRIED, (OURS, OURS)).fetchone()
            assert found is not None
            return tuple(found)

    def write(self, moment: datetime) -> None:
        with self._connection.transaction():
            self.rows += write_rows(self._connection, [spend_row(startTime=moment, end_user=f"c-{self.rows % 5}")])

    def close(self) -> None:
        self._connection.close()


@contextmanager
def writing(url: str, moment: datetime) -> Iterator[tuple[Writer, tuple[Any, ...], list[tuple[Any, ...]]]]:
    """A writer at work in a thread; yields it, what it found before the body, and all that it found during it."""
    writer, done, found = Writer(url), threading.Event(), list[tuple[Any, ...]]()
    before = writer.look()

    def work() -> None:
        while not done.is_set():
            writer.write(moment)
            found.append(writer.look())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield writer, before, found
    finally:
        done.set()
        thread.join()
        found.extend(writer.look() for _ in range(20))
        writer.close()


@pytest.fixture
def moment(proxy_db: Database) -> datetime:
    """A settled time at which the writer's rows are stamped; some usage is there already."""
    now = datetime.now(UTC)
    proxy_db.insert(*(spend_row(startTime=now - timedelta(minutes=25 + 3 * n), end_user=f"c-{n}") for n in range(60)))
    return now - timedelta(minutes=25)


def pass_until_exact(environ: Mapping[str, str], ledger: Database) -> None:
    """A first pass, plain ones, and a probe and a deep look, all while the writer writes."""
    reconcile(dict(environ), since="1d")
    for span in ("0 s", "2 hours", "2 days"):
        let_time_pass(ledger, span)
        reconcile(dict(environ))


@pytest.mark.proof
def test_one_database_shared_with_a_writer(
    proxy_db: Database, moment: datetime, lago: Sandbox, pgbouncer: InFrontOf
) -> None:
    pooled = pgbouncer(proxy_db.url)
    environ = environment(proxy_db, lago, DATABASE_URL=pooled + "?pgbouncer=true&connection_limit=5")

    with writing(pooled, moment) as (writer, before, found):
        pass_until_exact(environ, proxy_db)

    assert writer.rows > 20
    assert len(found) > 40
    assert set(map(repr, found)) == {repr(before)}
    assert before[2:] == (0, 0, 0, 0, 0)
    reconcile(environ)
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_two_databases_behind_poolers(
    proxy_db: Database, empty_db: Database, moment: datetime, lago: Sandbox, pgbouncer: InFrontOf
) -> None:
    pooled = pgbouncer(proxy_db.url)
    environ = environment(proxy_db, lago, DATABASE_URL=pooled, RECONCILE_LEDGER_URL=pgbouncer(empty_db.url))

    with writing(pooled, moment) as (_, before, found):
        pass_until_exact(environ, empty_db)

    assert set(map(repr, found)) == {repr(before)}
    reconcile(environ)
    assert_exact(proxy_db, lago, ledger=empty_db)
    assert proxy_db.fetch("SELECT to_regnamespace('reconciler')") == [(None,)]


@pytest.mark.proof
def test_a_pass_killed_in_a_chunk_leaves_nothing_in_the_pool(
    proxy_db: Database, moment: datetime, lago: Sandbox, pgbouncer: InFrontOf
) -> None:
    pooled = pgbouncer(proxy_db.url)
    environ = environment(proxy_db, lago, DATABASE_URL=pooled)
    reconcile(environ, since="1d")
    writer = Writer(pooled)
    before = writer.look()

    with proxy_db.connect(autocommit=False) as migration:
        migration.execute('LOCK TABLE "LiteLLM_SpendLogs"')
        process = start(environ)
        session = wait_for_chunk(proxy_db)
        process.kill()
        process.communicate()
        writer.sessions.clear()

    found = [writer.look() for _ in range(50)]
    assert set(map(repr, found)) == {repr(before)}
    assert session not in writer.sessions
    writer.write(moment)
    writer.close()
    reconcile(environ)
    assert_exact(proxy_db, lago)


def wait_for_chunk(database: Database) -> int:
    """Wait until a chunk hangs in the source with the meter's turn, its settings and its temp table; its session."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = database.fetch(
            "SELECT pid FROM pg_locks AS turn JOIN pg_locks AS wait USING (pid) "
            "WHERE turn.relation = to_regclass('reconciler.meter') AND turn.mode = 'RowShareLock' AND turn.granted "
            "AND wait.locktype = 'relation' AND NOT wait.granted"
        )
        if found:
            session: int = found[0][0]
            return session
        time.sleep(0.02)
    raise AssertionError("no pass came to its chunk")
