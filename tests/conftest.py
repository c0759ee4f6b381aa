"""Databases and services for the tests: Postgres with LiteLLM's real schema, a pooler, a stand-in of Lago."""

import gc
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from reconciler.demo.litellm import SpendRow, apply_migrations, write_rows
from reconciler.demo.postgres import EmbeddedPostgres, free_port, unprivileged
from reconciler.ledger.store import open_ledger
from reconciler.settings.load import load_settings
from tests import compiled, order, sessions, trust

DATA = Path(__file__).parent / "data"
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")

# Quick, and still crash-safe against a kill of Postgres (only a crash of the machine would lose data).
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "100", "shared_buffers": "64MB"}
QUICK_LOGIN = {"scram_iterations": "1"}  # since Postgres 16

EDGE = 5
"""A test is not begun so few seconds before a window of 15 minutes ends, nor before it settles."""

TEMPLATE, WITH_LEDGER = "litellm_template", "litellm_and_ledger_template"
_numbers = itertools.count(1)


def spend_row(**overrides: Any) -> dict[str, Any]:
    """Build one row as the proxy writes it: 20 minutes old, new request_id, customer `acme`, 10 + 20 tokens.

    `endTime`, `completionStartTime`, `created_at`, `updated_at` follow `startTime`, `total_tokens` follows
    the tokens, unless they are given. Times are datetimes (naive = UTC) or ISO text.
    """
    start = overrides.get("startTime", datetime.now(UTC) - timedelta(minutes=20))
    start = datetime.fromisoformat(start) if isinstance(start, str) else start
    start = start.astimezone(UTC).replace(tzinfo=None) if start.tzinfo else start
    end, written = start + timedelta(seconds=2), start + timedelta(seconds=7)
    tokens = {"prompt_tokens": 10, "completion_tokens": 20}
    tokens |= {name: value for name, value in overrides.items() if name in tokens}
    row: dict[str, Any] = {
        "request_id": f"chatcmpl-{uuid.uuid4()}",
        "call_type": "acompletion",
        "api_key": "a5dd4c891b214cc9524e6a93a662b6b35c3cc9d2f9b1da0a3903ff8023d73319",
        "spend": 1.35e-05,
        "total_tokens": sum(tokens.values()),
        **tokens,
        "endTime": end,
        "completionStartTime": end,
        "model": "openai/gpt-4o-mini",
        "model_id": "d846ed26de3c8a8c60e402779d7e67b12c9af5693075191816109e4fbf54d51d",
        "model_group": "gpt-4o-mini",
        "custom_llm_provider": "openai",
        "api_base": "",
        "user": "u-1",
        "metadata": {"status": "success"},
        "cache_hit": "None",
        "cache_key": "Cache OFF",
        "request_tags": [],
        "team_id": "team-a",
        "end_user": "acme",
        "requester_ip_address": "127.0.0.1",
        "messages": {},
        "response": {},
        "proxy_server_request": {},
        "session_id": str(uuid.uuid4()),
        "status": "success",
        "organization_id": "",
        "request_duration_ms": 2000,
        "created_at": written,
        "updated_at": written,
        "litellm_call_id": str(uuid.uuid4()),
    }
    return row | overrides | {"startTime": start}


@dataclass(frozen=True)
class Database:
    """One test's own database."""

    server: EmbeddedPostgres
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def url_of(self, user: str, password: str) -> str:
        """The address for another role, which has to log in with its password."""
        return self.server.url(self.name, user=user, password=password)

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=autocommit)

    def insert(self, *rows: SpendRow) -> None:
        """Write rows into the spend table, as `spend_row` builds them, in one transaction."""
        with self.session() as session, session.transaction():
            write_rows(session, rows)

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows, none if it has none."""
        with self.session() as session:
            cursor = session.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def session(self) -> AbstractContextManager[sessions.Session]:
        """A session of the tests' own for the `with` block; `connect` makes a new one."""
        return sessions.use(self.url)


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start, also where a shell runs them in the background, whose jobs ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest proofs start first."""
    items[:] = order.proofs_first(items)


def pytest_collection_finish() -> None:
    """Thousands of tests live until the end: let no garbage collection look through them again and again.

    Nor what a pass holds: it makes little garbage that goes round in circles, and much that lives as long as it does.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> order.OneByOne:
    """Let each test go to whichever worker is free."""
    return order.OneByOne(config, log)


@pytest.fixture(autouse=True, scope="session")
def _once_for_all() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        trust.share(patch)
        compiled.share(patch)
        sessions.share(patch)
        yield


@contextmanager
def server(bin_dir: Path | None = None, **settings: str) -> Iterator[EmbeddedPostgres]:
    """Run a Postgres with a template of LiteLLM's schema and one with a ledger beside it, in memory if there is room.

    Its settings are `SETTINGS` and those given. Passwords are checked as ever, in one round of hashing instead of 4096
    where the server has a setting for that: each pass logs in several times.
    """
    memory = Path("/dev/shm")
    with pytest.MonkeyPatch.context() as patch:
        if memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30:
            patch.setattr(tempfile, "tempdir", str(memory))
        running = EmbeddedPostgres(bin_dir=bin_dir, settings=SETTINGS | ({} if bin_dir else QUICK_LOGIN) | settings)
        running.start()
    with running:
        with psycopg.connect(running.socket_url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            password = sql.Literal(conninfo_to_dict(running.url())["password"])
            connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(password))
        apply_migrations(running.socket_url(TEMPLATE))
        leave_out_what_no_test_reads(running.socket_url(TEMPLATE))
        with psycopg.connect(running.socket_url(), autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(create.format(sql.Identifier(WITH_LEDGER), sql.Identifier(TEMPLATE)))
        make_ledger(running.socket_url(WITH_LEDGER))
        for template in (TEMPLATE, WITH_LEDGER):
            with psycopg.connect(running.socket_url(template), autocommit=True) as connection:
                vacuum_catalog(connection)
            psycopg.connect(running.socket_url(template)).close()  # writes down what each first session would look up
        sessions.begin(running.socket_url())
        try:
            yield running
        finally:
            sessions.end(running.socket_url())


def vacuum_catalog(connection: psycopg.Connection) -> None:
    """Leave fewer bytes to copy for each test; of the tables beside it Postgres knows as little as of new ones."""
    find = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
    tables = [table for (table,) in connection.execute(find + " AND NOT relisshared").fetchall()]
    connection.execute(f"VACUUM (FULL) {', '.join(tables)}".encode())


def leave_out_what_no_test_reads(url: str) -> None:
    """Drop all of LiteLLM's tables but some: it takes a test longer to copy them than to write what it is about."""
    with psycopg.connect(url) as connection:
        others = connection.execute(
            """SELECT relname FROM pg_class
               WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT relname ~ %s""",
            ["^LiteLLM_(SpendLogs|Daily(EndUser|User|Team)Spend|VerificationToken)$"],
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in others)
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(names))


def make_ledger(url: str) -> None:
    """Make what a first pass makes: the tables of the ledger."""
    settings = {"DATABASE_URL": url, "LAGO_API_BASE": "http://lago", "LAGO_API_KEY": "key"}
    kind = {"LAGO_API_EVENT_CODE": "tokens", "LAGO_API_CHARGE_BY": "end_user_id"}
    with closing(open_ledger(load_settings(environ=settings | kind))) as ledger:
        ledger.upgrade()


@contextmanager
def new_database(server: EmbeddedPostgres, template: str = "template0") -> Iterator[Database]:
    """Make a database for the `with` block. FILE_COPY is the quickest for small ones: 10 ms in memory."""
    name = f"test_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    database = Database(server, name)
    with sessions.use(server.socket_url()) as session:
        session.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    sessions.begin(database.url)
    try:
        yield database
    finally:
        sessions.end(database.url)
        server.start()  # the test may have stopped it
        with sessions.use(server.socket_url()) as session:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            for (role,) in session.execute("SELECT rolname FROM pg_roles WHERE oid > 16383").fetchall():
                with suppress(psycopg.errors.DependentObjectsStillExist):  # in another of the test's databases
                    session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A current Postgres for each test process: it starts in 0.7 s, and a test may restart or crash it."""
    with server() as running:
        yield running


def _not_installed(what: str) -> NoReturn:
    """Skip the test; in .ci/run, which has installed it, fail."""
    (pytest.fail if os.environ.get("RECONCILER_TESTS") == "all" else pytest.skip)(what)


def need_programs(*names: str) -> None:
    """Skip the test if one of these is not installed."""
    if missing := [name for name in names if shutil.which(name) is None]:
        _not_installed(f"there is no {missing[0]} (apt-get install bash curl postgresql-client)")


def need_postgres_15() -> None:
    """Skip the test if Debian's Postgres 15 is not installed."""
    if not (POSTGRES_15 / "postgres").exists():
        _not_installed(f"there is no Postgres 15 in {POSTGRES_15} (apt-get install postgresql-15)")


@pytest.fixture(scope="session")
def postgres15() -> Iterator[EmbeddedPostgres]:
    """Debian's Postgres 15, with the same template."""
    need_postgres_15()
    with server(POSTGRES_15) as running:
        yield running


def _let_edges_pass() -> None:
    """Wait if a window ends or settles in the next seconds: in the middle of a test it would be one more to bill."""
    for edge in (0, 120):
        left = (edge - time.time()) % 900
        if left < EDGE:
            time.sleep(left + 0.01)


@pytest.fixture
def proxy_db(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A LiteLLM proxy's database: all migrations, no rows.

    For the sake of speed it has an empty ledger already, unless the test is marked `no_ledger`.
    """
    with new_database(postgres, TEMPLATE if request.node.get_closest_marker("no_ledger") else WITH_LEDGER) as database:
        _let_edges_pass()
        yield database


@pytest.fixture
def proxy_db15(postgres15: EmbeddedPostgres) -> Iterator[Database]:
    """The same on Postgres 15."""
    with new_database(postgres15, TEMPLATE) as database:
        yield database


@pytest.fixture
def empty_db(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database with nothing in it."""
    with new_database(postgres) as database:
        yield database


@pytest.fixture(params=["beside the source", pytest.param("elsewhere", marks=pytest.mark.proof)])
def ledger(request: pytest.FixtureRequest, proxy_db: Database, empty_db: Database) -> Database:
    """Where the ledger is."""
    return proxy_db if request.param == "beside the source" else empty_db


@pytest.fixture
def pgbouncer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """A function: the URL of a database → the URL of a pgbouncer in front of it, in transaction mode.

    It has two server connections, so that state left in a session meets the next transaction soon.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        _not_installed("pgbouncer is not installed (apt-get install pgbouncer)")
    with ExitStack() as running:

        def in_front_of(url: str) -> str:
            return running.enter_context(_pgbouncer(program, url, tmp_path_factory.mktemp("pgbouncer")))

        yield in_front_of


@contextmanager
def _pgbouncer(program: str, url: str, folder: Path) -> Iterator[str]:
    target, port = conninfo_to_dict(url), free_port()
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
{target["dbname"]} = host={target["host"]} port={target["port"]} user={target["user"]} \
password={target.get("password", "")}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
"""
    )
    # Read from standard input: as root, pgbouncer runs as nobody, who can't enter pytest's folders.
    with (folder / "pgbouncer.ini").open() as config, (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "-q", "/dev/stdin"], stdin=config, stdout=log, stderr=log, cwd="/", **unprivileged()
        )
    try:
        address = f"postgresql://{target['user']}@127.0.0.1:{port}/{target['dbname']}"
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"pgbouncer: {(folder / 'log').read_text()}") from None
                time.sleep(0.01)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def lago() -> Iterator[Any]:
    """The stand-in of Lago: `.url` and `.api_key` are what the reconciler is told."""
    from reconciler.sandbox import Sandbox

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def clickhouse() -> Iterator[Any]:
    """The same with Lago's ClickHouse store, without deduplication: what it gets twice, it counts twice."""
    from reconciler.sandbox import Sandbox

    with Sandbox(store="clickhouse", deduplication=False) as sandbox:
        yield sandbox
