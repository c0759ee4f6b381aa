"""Ledgers of earlier versions."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from reconciler.ledger import migrations
from tests.conftest import DATA, Database


@contextmanager
def _transaction(database: Database) -> Iterator[Connection]:
    engine = create_engine("postgresql+psycopg://", creator=lambda: database.connect(autocommit=False))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def make(database: Database, version: str) -> None:
    """Make an empty ledger of a version."""
    database.fetch("CREATE SCHEMA reconciler")
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(files(migrations)))
    with _transaction(database) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


def load(database: Database) -> None:
    """Fill a ledger of version 0002 as the reconciler of that version did: two meters, events in every state."""
    with database.connect() as connection:
        connection.execute((DATA / "ledger_0002.sql").read_bytes())
    _number_on(database)


def go_back(database: Database, version: str) -> None:
    """Make the ledger one of an earlier version, with the same events."""
    database.fetch("ALTER SCHEMA reconciler RENAME TO newer")
    make(database, version)
    for table, source in _sources(database):
        names = ", ".join(f'"{name}"' for name in _shared(database, table, source))
        database.fetch(
            f'INSERT INTO reconciler."{table}" ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {source}'
        )
    database.fetch("DROP SCHEMA newer CASCADE")
    _number_on(database)


def _number_on(database: Database) -> None:
    """Let the next numbers come after those that are there."""
    for table in ("alarm", "look"):
        database.fetch(
            f"""SELECT setval(pg_get_serial_sequence('reconciler.{table}', 'id'), max(id))
                FROM reconciler.{table} HAVING max(id) IS NOT NULL"""
        )


def _sources(database: Database) -> list[tuple[str, str]]:
    tables: list[tuple[Any, ...]] = database.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'reconciler' AND tablename <> 'alembic_version'"
    )
    states = """(SELECT event.*, batch.state, batch.held_for, batch.conflict, batch.attempts, batch.attempted_at,
                        batch.leased_until, batch.answered_at, batch.answer
                 FROM newer.event JOIN newer.batch ON batch.id = event.batch) AS event"""
    return [(table, states if table == "event" else f'newer."{table}"') for (table,) in tables]


def _shared(database: Database, table: str, source: str) -> list[str]:
    """The columns that both have."""
    with database.connect() as connection:
        new = connection.execute(f"SELECT * FROM {source} LIMIT 0".encode()).description or []
        old = connection.execute(f'SELECT * FROM reconciler."{table}" LIMIT 0'.encode()).description or []
    return [column.name for column in old if column.name in {each.name for each in new}]
