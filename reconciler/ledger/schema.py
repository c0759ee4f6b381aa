"""Making and upgrading the ledger's schema, under a lock, in one transaction."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from reconciler.errors import LedgerError
from reconciler.ledger.tables import SCHEMA

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"
"""The newest migration; a test holds it to the folder of migrations."""

_LOCK = "reconciler: migrations"


def upgrade(connection: Connection) -> bool:
    """Bring the ledger to this program's version, in the connection's transaction.

    Returns:
        Whether anything was done.

    Raises:
        LedgerError: the ledger is newer than this program.
    """
    if version(connection) == HEAD:
        return False
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))"), {"lock": _LOCK})
    found = version(connection)
    if found == HEAD:
        return False
    if found is not None:
        refuse_newer(found)
    if not _schema_there(connection):
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))

    from alembic import command  # slow, and seldom needed

    config = _config(io.StringIO())
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return True


def ddl() -> str:
    """The SQL that makes the whole ledger, for a DBA to read and run."""
    from alembic import command

    printed = io.StringIO()
    command.upgrade(_config(printed), "head", sql=True)
    statements = printed.getvalue().replace("BEGIN;\n", f"BEGIN;\n\nCREATE SCHEMA IF NOT EXISTS {SCHEMA};\n", 1)
    return statements.strip() + "\n"


def _config(output: io.StringIO) -> "Config":
    from alembic.config import Config

    config = Config(stdout=output, output_buffer=output)
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def refuse_newer(found: str) -> None:
    """Raise `LedgerError` if the ledger is newer than this program."""
    if found > HEAD:
        raise LedgerError(
            f"The ledger is at version {found}, newer than this program's {HEAD}: install the reconciler "
            "that upgraded it, or a newer one."
        )


def _schema_there(connection: Connection) -> bool:
    query = text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")
    return bool(connection.scalar(query, {"schema": SCHEMA}))


def version(connection: Connection) -> str | None:
    """The newest migration that the ledger has seen; None if there is no ledger."""
    # A query of the catalog, because to_regclass may miss what was committed while we waited for the lock.
    there = text("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = :schema AND tablename = 'alembic_version')")
    if not connection.scalar(there, {"schema": SCHEMA}):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM reconciler.alembic_version"))
    return found
