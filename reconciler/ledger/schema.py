"""Making and upgrading the ledger's schema, under a lock, in one transaction."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.errors import DuplicateSchema, InsufficientPrivilege, UniqueViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from reconciler.database.postgres import execute
from reconciler.ledger.tables import SCHEMA, metadata
from reconciler.model.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest migration; a test holds it to the folder of migrations."""

# A query of the catalog, because to_regclass may miss what was committed while we waited for the lock.
_VERSIONED = text(
    """SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                      WHERE nspname = 'reconciler' AND relname = 'alembic_version')"""
)
_VERSION = text("SELECT version_num FROM reconciler.alembic_version")


def upgrade(connection: Connection) -> bool:
    """Bring the ledger to this program's version, in the connection's transaction; the schema is there.

    Returns:
        Whether anything was done.

    Raises:
        LedgerError: the ledger is newer than this program, or older and not this role's to change.
    """
    found = version(connection)
    if found is not None:
        refuse_newer(found)
    try:
        _lock(connection)
        found = version(connection)
        if found == HEAD:
            return False

        from alembic import command  # slow, and seldom needed

        config = _config(io.StringIO())
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    except ProgrammingError as error:
        if found is None or not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise LedgerError(
            f"The ledger is at version {found}, this program needs {HEAD}, and this role may not change it: let its "
            f"owner run `reconcile ledger upgrade`, or a DBA what `reconcile ledger upgrade --sql --from {found}` "
            "prints and then sql/grants/grant_ledger_tables.sql. Nothing was done."
        ) from error
    return True


def check_owners(connection: Connection, source_schema: str) -> None:
    """See that the ledger belongs to nobody who could change what was billed.

    Raises:
        LedgerError: it does; says to whom, and what to do.
    """
    names = [*(table.name for table in metadata.sorted_tables), "alembic_version", "batch_id"]
    values = {"names": names, "source_schema": source_schema}
    stranger = execute(connection, "ledger/strangers", values).fetchone()
    if stranger is not None:
        thing, owner = stranger
        raise LedgerError(
            f'The ledger\'s {thing} belongs to the role "{owner}", who could change or drop what was billed. If the '
            f"reconciler has never billed here, drop the schema and run sql/grants/grant_ledger.sql. Else give all of "
            "it to the reconciler's role (ALTER SCHEMA … OWNER TO, ALTER TABLE … OWNER TO), or to a DBA's role that "
            "does not own the spend table. Nothing was done."
        )


def make(connection: Connection) -> None:
    """Make the schema unless it is there. Of those that come at once one makes it, the others wait for its end."""
    try:
        with connection.begin_nested():
            if not _schema_there(connection):
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    except (IntegrityError, ProgrammingError) as error:
        if not isinstance(error.orig, UniqueViolation | DuplicateSchema):  # before the other's end, and after it
            raise


def _lock(connection: Connection) -> None:
    """Let one transaction at a time upgrade: a comment locks the schema for all of it, and takes the schema's owner."""
    connection.execute(text(f"COMMENT ON SCHEMA {SCHEMA} IS 'What the reconciler has billed.'"))


def ddl(since: str | None = None) -> str:
    """The SQL that makes the ledger, or brings it here from a version, for a DBA to read and run.

    Raises:
        UsageError: there is no such version.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    printed = io.StringIO()
    config = _config(printed)
    versions = sorted(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())
    if since is not None and since not in versions:
        raise UsageError(f"--from: there is no version {since} of the ledger; there are {', '.join(versions)}.")
    if since == HEAD:
        return f"-- The ledger is at version {HEAD} already.\n"
    command.upgrade(config, f"{since}:head" if since else "head", sql=True)
    script = printed.getvalue()
    if since is None:
        script = script.replace("BEGIN;\n", f"BEGIN;\n\nCREATE SCHEMA {SCHEMA};\n", 1)
    return script.strip() + "\n"


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
    if not connection.scalar(_VERSIONED):
        return None
    found: str | None = connection.scalar(_VERSION)
    return found
