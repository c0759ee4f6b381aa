"""The source: LiteLLM's spend table, read and never written.

LiteLLM's versions differ in columns, operators differ in what they grant: the source looks and does not assume.
Facts: the column `spend` is a double, "startTime" a timestamp without zone that holds UTC and is indexed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from sqlalchemy import Connection

from reconciler.database.postgres import SET_BASED, Postgres, cursor, execute
from reconciler.database.statements import identifier, statement
from reconciler.model.errors import SourceError
from reconciler.model.terms import Stretch, Terms

TABLE = "LiteLLM_SpendLogs"
ALWAYS_READ = ("startTime", "spend", "prompt_tokens", "completion_tokens")
READ_IF_THERE = frozenset({"status", "cache_hit"})
BLOCK = 2**20
"""Bytes that go to another database at once."""

EXCLUSION_COLUMN = {"user": "user", "team": "team_id", "key": "api_key"}


@dataclass(frozen=True)
class Place:
    """Where a source is. A replica of a cluster is the same place, a restored dump is another."""

    system_identifier: str
    database: str
    schema: str


@dataclass(frozen=True)
class Sight:
    """What the source looks like at the start of a pass.

    Attributes:
        place: where it is.
        now: its clock, UTC; on a replica the last transaction that it has replayed.
        columns: those of the spend table that may be read.
        hidden: those that may not.
    """

    place: Place
    now: datetime
    columns: frozenset[str]
    hidden: frozenset[str] = frozenset()


class Source:
    """Reads the spend table, each time in the caller's transaction or in one of its own that is READ ONLY."""

    def __init__(self, postgres: Postgres) -> None:
        """Read through `postgres`, in the schema that its URL names."""
        self._postgres = postgres
        self._table = identifier(postgres.database.schema, TABLE)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A read-only transaction of the source's own, for a ledger in another database."""
        with self._postgres.transaction(read_only=True, local=SET_BASED) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections; the next transaction opens another."""
        self._postgres.close()

    def sight(self) -> Sight:
        """Look at the clock, the place and the table.

        Raises:
            SourceError: unreachable, refused, no such table or no right to read it; a replica that can't tell yet how
                far it has come.
        """
        schema = self._postgres.database.schema
        with self._postgres.transaction(read_only=True) as connection:
            clock = execute(connection, "capture/clock").fetchone()
            found = execute(connection, "capture/columns", {"schema": schema}).fetchall()
        if not found:
            raise SourceError(
                f'DATABASE_URL ({self._postgres.database.display}) has no table "{TABLE}" in schema '
                f'"{schema}": point it at the proxy\'s database, or name the schema, as in ?schema=litellm.'
            )
        assert clock is not None
        identifier, database, now = (str(clock[0]), str(clock[1]), clock[2])
        if not isinstance(now, datetime):
            raise SourceError(
                f"DATABASE_URL ({self._postgres.database.display}) is a replica that has replayed nothing since it "
                "started, so nobody knows how far it has come: run again once its primary has written something."
            )
        columns = frozenset(str(name) for name, readable in found if readable)
        hidden = frozenset(str(name) for name, readable in found if not readable)
        return Sight(Place(identifier, database, schema), now.astimezone(UTC), columns, hidden)

    def check(self, sight: Sight, terms: Terms) -> None:
        """See that all that these terms need can be read.

        Raises:
            SourceError: which column lacks, and what to grant or change.
        """
        needed = {*ALWAYS_READ, terms.customer_column} | ({terms.bucket_column} if terms.bucket_column else set())
        needed |= {_exclusion_column(terms, kind) for kind in _excluded(terms)}
        needed |= READ_IF_THERE & sight.hidden  # what an old LiteLLM lacks is one thing, what it hides another
        if missing := sorted(needed - sight.columns):
            names = ", ".join(f'"{name}"' for name in missing)
            raise SourceError(
                f'The role of DATABASE_URL ({self._postgres.database.display}) can\'t read {names} of "{TABLE}": '
                "the column is absent in this LiteLLM, or SELECT on it is not granted (sql/grants/grant_source.sql)."
            )

    def totals(self, sight: Sight, terms: Terms) -> sql.Composed:
        """The statement that sums a span by bucket; its values are `values`."""
        return statement("capture/totals").format(
            spend_logs=self._table,
            customer=sql.Identifier(terms.customer_column),
            model=sql.Identifier(terms.bucket_column) if terms.bucket_column else sql.SQL("''"),
            status=sql.Identifier("status") if "status" in sight.columns else sql.SQL("NULL"),
            excluded=_excluded_condition(sight, terms),
        )

    def counts(self) -> sql.Composed:
        """The statement that counts the rows of each window of a span, index-only; its values are `values`."""
        return statement("capture/counts").format(spend_logs=self._table)

    def oldest(self) -> sql.Composed:
        """The statement that finds the start of the oldest row, NULL if there is no row."""
        return statement("capture/oldest").format(spend_logs=self._table)

    def oldest_row(self) -> datetime | None:
        """The start of the oldest row, None if there is no row."""
        with self.transaction() as connection:
            row = cursor(connection).execute(self.oldest(), {}).fetchone()
        return row[0].astimezone(UTC) if row and row[0] else None


def values(stretch: Stretch) -> dict[str, Any]:
    """The values of `Source.totals` and `Source.counts` over a stretch."""
    patterns = {_exclusion(kind): patterns for kind, patterns in _excluded(stretch.terms).items()}
    return {"since": stretch.since, "until": stretch.until, "length": stretch.terms.window, **patterns}


def copy(
    statement_: sql.Composed,
    values: Mapping[str, Any],
    table: sql.Identifier,
    read: Connection,
    write: Connection,
    *,
    errors_of_write: Callable[[], AbstractContextManager[None]],
) -> None:
    """Stream the rows of a SELECT in one database into a table of another; memory stays flat.

    Block by block, each a COPY of its own: the server that is written to waits between them as in any transaction, and
    ends it should this program be frozen. Within a COPY it would wait for ever. `errors_of_write` turns the errors of
    the one that is written to into sentences, which else would name the one that is read.
    """
    reading, writing = cursor(read), cursor(write)
    out = sql.SQL("COPY ({}) TO STDOUT").format(statement_)
    into = sql.SQL("COPY {} FROM STDIN").format(table)
    with reading.copy(out, values) as rows:
        for block in _blocks(rows):
            with errors_of_write(), writing.copy(into) as target:
                target.write(block)


def _blocks(rows: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """Whole rows, joined to a megabyte or so."""
    block = bytearray()
    for row in rows:
        block += row
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _excluded(terms: Terms) -> dict[str, list[str]]:
    """The patterns of RECONCILE_EXCLUDE, as LIKE takes them, by what they are matched with."""
    patterns: dict[str, list[str]] = {}
    for text in terms.exclude:
        kind, _, pattern = text.partition(":")
        patterns.setdefault(kind, []).append(_like(pattern))
    return patterns


def _exclusion(kind: str) -> str:
    return f"excluded_{kind}"


def _exclusion_column(terms: Terms, kind: str) -> str:
    return {"customer": terms.customer_column, "model": terms.excluded_model_column, **EXCLUSION_COLUMN}[kind]


def _excluded_condition(sight: Sight, terms: Terms) -> sql.Composable:
    conditions: list[sql.Composable] = [
        sql.SQL("coalesce({} LIKE ANY ({}::text[]), false)").format(
            identifier(_exclusion_column(terms, kind)), sql.Placeholder(_exclusion(kind))
        )
        for kind in _excluded(terms)
    ]
    if not terms.cache_hits and "cache_hit" in sight.columns:
        conditions.append(sql.SQL("(spend = 0 AND cache_hit IS NOT DISTINCT FROM 'True')"))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions)) if conditions else sql.SQL("false")


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
