from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.sandbox import Sandbox
from tests import sessions
from tests.conftest import Database, new_database


@pytest.fixture
def ledger(empty_db: Database) -> Database:
    """A database for a ledger apart from the source."""
    return empty_db


@pytest.fixture
def other_proxy(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A second proxy's database."""
    with new_database(postgres, "litellm_template") as database:
        yield database


@pytest.fixture
def other_ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A second ledger's database, empty."""
    with new_database(postgres) as database:
        yield database


@pytest.fixture
def other_lago() -> Iterator[Sandbox]:
    """A second Lago."""
    with Sandbox() as sandbox:
        yield sandbox


@contextmanager
def backup(database: Database) -> Iterator[Database]:
    """A copy of the database as it is now."""
    sessions.close_idle(database.url)  # Postgres copies no database that somebody uses
    with new_database(database.server, database.name) as copy:
        yield copy
