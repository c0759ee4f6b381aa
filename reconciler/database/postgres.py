"""Transactions on a Postgres that others share, perhaps through a transaction pooler.

Nothing outlives a transaction: settings are local to it, nothing is prepared, no session lock is taken.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import RowFactory, tuple_row
from sqlalchemy import Connection, exc, func, select

from reconciler import __version__
from reconciler.database.address import Database
from reconciler.database.pool import NoneLeftError, Pool
from reconciler.database.sentences import sentence
from reconciler.database.statements import statement
from reconciler.model.errors import ReconcileError

# What our statements rely on, whatever the role, the database or a pooled session say.
_EVERY_TRANSACTION = {
    "row_security": "off",  # a table that would show this role a part of its rows is refused
    "search_path": "pg_catalog, pg_temp",
    "synchronous_commit": "on",
    "extra_float_digits": "1",  # floats as their shortest round-trip text (facts: Postgres >= 12)
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "lock_timeout": "0",  # statement_timeout is enough
    "default_table_access_method": "heap",  # not all others can update rows
    "client_encoding": "UTF8",
    "application_name": f"reconciler/{__version__}",
}

# The same where the server knows the setting: some came with a minor release.
_IF_KNOWN = {
    "transaction_timeout": "0",
    "restrict_nonsystem_relation_kind": "view, foreign-table",  # they run code of their owners
}

# Sums over expressions have no statistics: left alone, the planner sorts millions of rows instead of hashing them,
# and joins fresh temp tables row by row.
SET_BASED = {
    "work_mem": "65536",
    "jit": "off",
    "enable_sort": "off",
    "enable_mergejoin": "off",
    "enable_nestloop": "off",
}

_PINNED = "reconciler: settings of the transaction"


class Postgres:
    """One database, as its transactions and its errors."""

    def __init__(
        self,
        database: Database,
        *,
        error: type[ReconcileError],
        statement_timeout: timedelta,
        idle: timedelta = timedelta(minutes=1),
        pool: Pool | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            database: where.
            error: what to raise when the database refuses or fails.
            statement_timeout: the longest that one statement may take.
            idle: how long a transaction may wait for this program, beyond what a statement elsewhere may take; one that
                a frozen program holds open would keep its locks for ever.
            pool: the connections of another that is the same database, to be shared; by default it has its own.
        """
        self.database = database
        self._error = error
        self._statement_timeout = statement_timeout
        self._idle = statement_timeout + idle
        name = conninfo_to_dict(database.conninfo).get("application_name")
        self._named = {"application_name": str(name)} if name else {}
        self._pool = pool or Pool(database)

    def close(self) -> None:
        """Close the connections; the next transaction opens another."""
        self._pool.close()

    @contextmanager
    def transaction(
        self,
        *,
        read_only: bool = False,
        rollback: bool = False,
        local: Mapping[str, str] | None = None,
    ) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on an exception or if `rollback`.

        Args:
            read_only: begin it READ ONLY.
            rollback: never commit (a dry run).
            local: server settings for this transaction, on top of those that every one has.

        Raises:
            ReconcileError: of the class given, in one sentence, for whatever Postgres or the network refused.
        """
        with self.plain_errors(), self._pool.connection() as connection:
            self._begin(connection, read_only=read_only, local=local)
            yield connection
            if rollback:
                connection.rollback()
            else:
                connection.commit()

    def _begin(self, connection: Connection, *, read_only: bool, local: Mapping[str, str] | None) -> None:
        """Begin a transaction with its settings, in one message to the server."""
        settings = {
            **_EVERY_TRANSACTION,
            "statement_timeout": _milliseconds(self._statement_timeout),
            "idle_in_transaction_session_timeout": _milliseconds(self._idle),
            **self._named,
            **(local or {}),
        }
        connection.begin()
        connection.info[_PINNED] = pinned = tuple(settings.items())
        cursor(connection).execute(_beginning(read_only, pinned))

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn what Postgres says into one sentence that names the setting and holds no secret."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._error(self._sentence(error.orig)) from error
        except psycopg.Error as error:
            raise self._error(self._sentence(error)) from error
        except exc.PendingRollbackError:  # what ended it was said then
            raise self._error(f"{self.where} has ended the transaction: run again.") from None
        except NoneLeftError:
            raise self._error(
                f"{self.where}: all connections that its connection_limit or its server allows are in use for long: "
                "allow one more."
            ) from None

    @property
    def pool(self) -> Pool:
        """Its connections."""
        return self._pool

    @property
    def where(self) -> str:
        """The setting that names the database, and its address."""
        return f"{self.database.variable} ({self.database.display})"

    def _sentence(self, error: BaseException | None) -> str:
        return sentence(self.where, error, statement_timeout=self._statement_timeout)


def cursor(connection: Connection, row: RowFactory[Any] = tuple_row) -> psycopg.Cursor[Any]:
    """Psycopg's own cursor on the connection's transaction, for statements of `sql/` and COPY; `row` makes its rows."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver.cursor(row_factory=row)


def execute(
    connection: Connection,
    name: str,
    values: Mapping[str, Any] | None = None,
    row: RowFactory[Any] = tuple_row,
    **fragments: sql.Composable,
) -> psycopg.Cursor[Any]:
    """Execute `sql/<name>.sql` with these values and fragments in the transaction; `row` makes its rows."""
    query = statement(name)
    return cursor(connection, row).execute(query.format(**fragments) if fragments else query, values)


def server_clock(connection: Connection) -> datetime:
    """The time of the connection's server, as it is now."""
    now: datetime | None = connection.scalar(select(func.clock_timestamp()))
    assert now is not None
    return now


@contextmanager
def guarded(connection: Connection) -> Iterator[None]:
    """Let the block read what other roles own, and write temporary tables at most.

    Reading a table may run code of its owner: a function of an index's expression, of a domain, of a cast. It runs as
    our role; in here it can't write the ledger, nor leave settings behind for what comes after the block.
    """
    run = cursor(connection).execute
    run("SAVEPOINT guarded; SET LOCAL transaction_read_only = on")
    yield
    # Postgres lets nothing inside end the savepoint or take read_only back; its release does.
    run(_end_of_guard(connection.info[_PINNED]))


@cache
def _beginning(read_only: bool, settings: tuple[tuple[str, str], ...]) -> bytes:  # noqa: FBT001 - for the cache
    access = sql.SQL("READ ONLY" if read_only else "READ WRITE")
    begin = sql.SQL("BEGIN ISOLATION LEVEL READ COMMITTED {}; {}")
    return begin.format(access, _pin(settings)).as_bytes()


@cache
def _end_of_guard(settings: tuple[tuple[str, str], ...]) -> bytes:
    return sql.SQL("RELEASE SAVEPOINT guarded; {}").format(_pin(settings)).as_bytes()


def _pin(settings: Iterable[tuple[str, str]]) -> sql.Composed:
    """Set these for the transaction. The search path isn't ours yet: a planted set_config() would run as ours."""
    known = "CASE WHEN pg_catalog.current_setting({0}, true) IS NOT NULL THEN pg_catalog.set_config({0}, {1}, true) END"
    calls = [sql.SQL("pg_catalog.set_config({}, {}, true)").format(name, value) for name, value in settings]
    calls += [sql.SQL(known).format(name, value) for name, value in _IF_KNOWN.items()]
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls))


def _milliseconds(length: timedelta) -> str:
    return str(min(int(length.total_seconds() * 1000), 2**31 - 1))


def timed_out(error: ReconcileError) -> bool:
    """Whether the error is a statement that took too long: a smaller chunk may do."""
    return _was(error, pg.QueryCanceled)


def not_permitted(error: ReconcileError) -> bool:
    """Whether the error is a right that the role lacks, such as to read all rows of a table."""
    return _was(error, pg.InsufficientPrivilege)


def _was(error: ReconcileError, kind: type[Exception]) -> bool:
    cause = error.__cause__
    return isinstance(getattr(cause, "orig", cause), kind)
