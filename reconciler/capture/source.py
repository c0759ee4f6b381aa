"""The source: LiteLLM's spend table, read and never written.

LiteLLM's versions differ in columns, operators differ in what they grant: the source looks and does not assume.
Facts: the column `spend` is a double, "startTime" a timestamp without zone that holds UTC and is indexed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.database.postgres import SET_BASED, Postgres, cursor, execute
from reconciler.database.statements import identifier, statement
from reconciler.ledger.store import Ledger
from reconciler.model.errors import SourceError
from reconciler.model.terms import Stretch, Terms
from reconciler.settings.load import Settings

TABLE = "LiteLLM_SpendLogs"
ALWAYS_READ = ("startTime", "spend", "prompt_tokens", "completion_tokens")
READ_IF_THERE = frozenset({"status", "cache_hit"})
FIRST_YEAR = datetime.min.replace(tzinfo=UTC)

TABLES = ("r", "p")
"""The kinds of relation that are tables: plain ones and partitioned ones."""


@dataclass(frozen=True)
class Relation:
    """What sql/capture/relation.sql says of a table of others.

    Attributes:
        kind: as pg_class has it.
        readable: the columns that may be read.
        hidden: those that may not.
        foreign_part: a partition or child that is no table; None if all are.
    """

    kind: str
    readable: list[str]
    hidden: list[str]
    foreign_part: str | None

    @property
    def what(self) -> str:
        """Its kind in words."""
        return {"v": "a view", "m": "a materialized view", "f": "a foreign table"}.get(self.kind, "no table")


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
        encoding: that of its text, as Postgres names it.
        clock: its server's clock, UTC.
        now: up to when it is known: that clock; on a replica the last transaction that it has replayed.
        columns: those of the spend table that may be read.
        hidden: those that may not.
    """

    place: Place
    encoding: str
    clock: datetime
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
            found = execute(
                connection, "capture/relation", {"schema": schema, "name": TABLE}, class_row(Relation)
            ).fetchone()
            if found is None:
                raise SourceError(
                    f'{self._postgres.where} has no table "{TABLE}" in schema '
                    f'"{schema}": point it at the proxy\'s database, or name the schema, as in ?schema=litellm.'
                )
            self._check_kind(found)
            assert clock is not None
            identifier, database, encoding = (str(text) for text in clock[:3])
            moment, now = clock[3:]
            if not isinstance(now, datetime):
                raise SourceError(
                    f"{self._postgres.where} is a replica that has replayed nothing since it "
                    "started, so nobody knows how far it has come: run again once its primary has written something."
                )
        return Sight(
            Place(identifier, database, schema),
            encoding,
            moment.astimezone(UTC),
            now.astimezone(UTC),
            frozenset(found.readable),
            frozenset(found.hidden),
        )

    def _check_kind(self, found: Relation) -> None:
        """See that it is a table: whatever else runs its owner's code, or shows what is elsewhere."""
        where = f'{self._postgres.where}: "{TABLE}" in schema "{self._postgres.database.schema}"'
        if found.kind not in TABLES:
            raise SourceError(
                f"{where} is {found.what}. Only a table is read, as LiteLLM makes it: what else has that name runs its "
                "owner's code for whoever reads it. Name the schema of the table itself, as in ?schema=litellm."
            )
        if found.foreign_part is not None:
            raise SourceError(
                f"{where} has the partition {found.foreign_part}, which is no table but a foreign one. Detach it, or "
                "attach its rows as a table: what lies on another server is not of one moment with the rest."
            )

    def check(self, sight: Sight, terms: Terms) -> None:
        """See that all that these terms need can be read.

        Raises:
            SourceError: which column lacks, and what to grant or change.
        """
        needed = self._needed(terms) | (
            READ_IF_THERE & sight.hidden
        )  # what an old LiteLLM lacks is one thing, what it hides another
        if missing := sorted(needed - sight.columns):
            names = ", ".join(f'"{name}"' for name in missing)
            raise SourceError(
                f'The role of {self._postgres.where} can\'t read {names} of "{TABLE}": '
                "the column is absent in this LiteLLM, or SELECT on it is not granted (sql/grants/grant_source.sql)."
            )

    def totals(self, sight: Sight, terms: Terms) -> sql.Composed:
        """The statement that sums a span by bucket; its values are `values`."""
        return self._totals(sight, terms, self._table)

    def _totals(self, sight: Sight, terms: Terms, spend_logs: sql.Composable) -> sql.Composed:
        return statement("capture/totals").format(
            spend_logs=spend_logs,
            customer=sql.Identifier(terms.customer_column),
            model=sql.Identifier(terms.bucket_column) if terms.bucket_column else sql.SQL("''"),
            status=_if_there("status", sight),
            cache_hit=_if_there("cache_hit", sight),
            broken=statement("capture/broken").format() if sight.encoding == "SQL_ASCII" else sql.SQL("false"),
            excluded=_excluded_condition(sight, terms),
        )

    def bucket_rows(self, sight: Sight, terms: Terms) -> sql.Composed:
        """The statement that lists the rows of a bucket; its values are `values`, and `customer` and `model`.

        Raises:
            SourceError: the role may not read "request_id".
        """
        if "request_id" not in sight.columns:
            raise SourceError(
                f'The role of {self._postgres.where} can\'t read "request_id" of "{TABLE}": SELECT on it is not '
                "granted (sql/grants/grant_source_columns.sql)."
            )
        columns = {"request_id", *self._needed(terms), *(READ_IF_THERE & sight.columns)}
        request_id = sql.SQL("spent.request_id::text")
        if sight.encoding == "SQL_ASCII":  # whatever its bytes are
            request_id = sql.SQL("encode(convert_to(spent.request_id::text, 'SQL_ASCII'), 'escape')")
        return statement("capture/bucket_rows").format(
            request_id=request_id,
            columns=sql.SQL(", ").join(map(sql.Identifier, sorted(columns))),
            spend_logs=self._table,
            totals=self._totals(sight, terms, sql.SQL("(SELECT spent.*) AS one")),
        )

    def requests(self, sight: Sight, terms: Terms) -> sql.Composed:
        """The statement that lists the rows of a span for a cut-over; its values are `values`, and `reach`.

        Whatever tells requests apart and can't be read is left out.
        """
        helpful = {"endTime", "model", "model_group", "call_type"} & sight.columns

        def known(column: str) -> sql.Composable:
            return identifier("spent", column) if column in helpful else sql.SQL("NULL")

        columns = {*helpful, *self._needed(terms), *(READ_IF_THERE & sight.columns)}
        return statement("capture/requests").format(
            columns=sql.SQL(", ").join(map(sql.Identifier, sorted(columns))),
            spend_logs=self._table,
            ended=known("endTime"),
            name=known("model"),
            group_name=known("model_group"),
            call_type=known("call_type"),
            totals=self._totals(sight, terms, sql.SQL("(SELECT spent.*) AS one")),
        )

    def _needed(self, terms: Terms) -> set[str]:
        """The columns that these terms need."""
        needed = {*ALWAYS_READ, terms.customer_column} | ({terms.bucket_column} if terms.bucket_column else set())
        return needed | {terms.exclusion_column(kind) for kind in _excluded(terms)}

    def count(self, stretch: Stretch) -> int:
        """How many rows a stretch has, whatever becomes of them."""
        with self.transaction() as connection:
            rows = cursor(connection).execute(self.counts(), values(stretch)).fetchall()
        return sum(number for _, number in rows)

    def counts(self) -> sql.Composed:
        """The statement that counts the rows of each window of a span, index-only; its values are `values`."""
        return statement("capture/counts").format(spend_logs=self._table)

    def oldest(self) -> sql.Composed:
        """The statement that finds the start of the oldest row from `oldest_from` on, of those not in the future."""
        return statement("capture/oldest").format(spend_logs=self._table)

    def oldest_row(self, since: datetime = FIRST_YEAR) -> datetime | None:
        """The start of the oldest row from `since` on, of those not in the future; None if there is none."""
        with self.transaction() as connection:
            row = cursor(connection).execute(self.oldest(), {"oldest_from": since}).fetchone()
        return row[0].astimezone(UTC) if row and row[0] else None

    def newest_row(self, now: datetime) -> datetime | None:
        """The start of the newest row, at most 14 hours and a quarter after `now`; None if there is none."""
        query = statement("capture/newest").format(spend_logs=self._table)
        with self.transaction() as connection:
            row = cursor(connection).execute(query, {"now": now}).fetchone()
        return row[0].astimezone(UTC) if row and row[0] else None


def open_source(settings: Settings, ledger: Ledger) -> Source:
    """The source that the settings name; it shares the ledger's connections where both are one database."""
    return Source(
        Postgres(
            settings.source,
            error=SourceError,
            statement_timeout=settings.statement_timeout,
            idle=timedelta(seconds=settings.limits.idle),
            pool=ledger.pool if settings.one_database else None,
        )
    )


def values(stretch: Stretch) -> dict[str, Any]:
    """The values of `Source.totals` and `Source.counts` over a stretch."""
    patterns = {_exclusion(kind): patterns for kind, patterns in _excluded(stretch.terms).items()}
    return {"since": stretch.since, "until": stretch.until, "length": stretch.terms.window, **patterns}


def _if_there(column: str, sight: Sight) -> sql.Composable:
    return sql.Identifier(column) if column in sight.columns else sql.SQL("NULL")


def _excluded(terms: Terms) -> dict[str, list[str]]:
    """The patterns of RECONCILE_EXCLUDE, as LIKE takes them, by what they are matched with."""
    patterns: dict[str, list[str]] = {}
    for text in terms.exclude:
        kind, _, pattern = text.partition(":")
        patterns.setdefault(kind, []).append(_like(pattern))
    return patterns


def _exclusion(kind: str) -> str:
    return f"excluded_{kind}"


def _excluded_condition(sight: Sight, terms: Terms) -> sql.Composable:
    conditions: list[sql.Composable] = [
        sql.SQL('coalesce({}::text COLLATE "C" LIKE ANY ({}::text[]), false)').format(
            identifier(terms.exclusion_column(kind)), sql.Placeholder(_exclusion(kind))
        )
        for kind in _excluded(terms)
    ]
    if not terms.cache_hits and "cache_hit" in sight.columns:
        conditions.append(sql.SQL("(spend = 0 AND cache_hit IS NOT DISTINCT FROM 'True')"))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions)) if conditions else sql.SQL("false")


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
