"""LiteLLM's own database: its real migrations, of now or of an old release, and rows for its spend table."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from reconciler.demo.postgres import wheel_folder

SpendRow = Mapping[str, Any]
"""One row of `"LiteLLM_SpendLogs"`: column name to value; dicts and lists are JSON."""

JUNE_2025 = "20250603210143"
"""The last migration of litellm 1.72.6."""
NOVEMBER_2025 = "20251114182247"
"""The last migration of litellm 1.80.0."""

# Published later than their names say, so older releases lack them: name, and a date before it came.
_BACKDATED = {
    "20250507161527_add_health_check_fields_to_mcp_servers": "20250604",
    "20251113000000_add_project_table": "20251115",
    "20251113000001_add_project_fields": "20251115",
    "20251114180624_Add_org_usage_table": "20251115",
}

_TABLE = sql.Identifier("LiteLLM_SpendLogs")

_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = '"LiteLLM_SpendLogs"'::regclass AND attnum > 0 AND NOT attisdropped
"""

# What LiteLLM's runbook for partitions leaves behind: history stays in the renamed table.
_PARTITION = """
ALTER TABLE "LiteLLM_SpendLogs" RENAME TO "LiteLLM_SpendLogs_legacy";
ALTER INDEX "LiteLLM_SpendLogs_pkey" RENAME TO "LiteLLM_SpendLogs_legacy_pkey";
CREATE TABLE "LiteLLM_SpendLogs" (LIKE "LiteLLM_SpendLogs_legacy" INCLUDING DEFAULTS)
    PARTITION BY RANGE ("startTime");
ALTER TABLE "LiteLLM_SpendLogs" ADD PRIMARY KEY (request_id, "startTime");
CREATE INDEX ON "LiteLLM_SpendLogs" ("startTime");
CREATE INDEX ON "LiteLLM_SpendLogs" ("startTime", request_id);
CREATE INDEX ON "LiteLLM_SpendLogs" (end_user);
CREATE INDEX ON "LiteLLM_SpendLogs" (session_id);
CREATE TABLE "LiteLLM_SpendLogs_pdefault" PARTITION OF "LiteLLM_SpendLogs" DEFAULT;
"""

_PARTITION_OF_DAY = sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})")


def migrations(until: str | None = None) -> list[Path]:
    """Return the migration files of litellm-proxy-extras in the order of their folders' names.

    With `until`, the start of a migration's name (`JUNE_2025`, `NOVEMBER_2025`), those that a release ending
    with that migration had. Raises `ReconcileError` if the package is not installed.
    """
    files = sorted((wheel_folder("litellm_proxy_extras") / "migrations").glob("*/migration.sql"))
    if until is None:
        return files
    past = itertools.takewhile(lambda file: file.parent.name[: len(until)] <= until, files)
    return [file for file in past if _BACKDATED.get(file.parent.name, until) <= until]


def apply_migrations(conninfo: str, until: str | None = None) -> int:
    """Make LiteLLM's schema, all or as of `until`, in an empty database; return the number of migrations."""
    files = migrations(until)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for file in files:
            # Without parameters the whole file is one simple query, as psql would send it.
            connection.execute(file.read_bytes())
    return len(files)


def partition_spend_logs(conninfo: str, first_day: date | None = None, days: int = 7) -> None:
    """Turn the spend table into the partitioned variant that LiteLLM's runbook makes.

    Its key is then (request_id, "startTime"). There is a partition for each of `days` days from `first_day`
    (default: three days ago, UTC) and one for all else; old rows stay in `"LiteLLM_SpendLogs_legacy"`.
    """
    first = first_day or datetime.now(UTC).date() - timedelta(days=3)
    with psycopg.connect(conninfo) as connection:
        connection.execute(_PARTITION)
        for day in (first + timedelta(days=offset) for offset in range(days)):
            name = sql.Identifier(f"LiteLLM_SpendLogs_p{day:%Y%m%d}")
            span = sql.Literal(day.isoformat()), sql.Literal((day + timedelta(days=1)).isoformat())
            connection.execute(_PARTITION_OF_DAY.format(name, _TABLE, *span))


def write_rows(connection: psycopg.Connection[Any], rows: Iterable[SpendRow]) -> int:
    """Append rows to the spend table by COPY, without keys that it has no column for; return their number."""
    columns = {name for (name,) in connection.execute(_COLUMNS)}
    written = 0
    for keys, alike in itertools.groupby(rows, key=tuple):
        known = [key for key in keys if key in columns]
        target = sql.SQL(", ").join(map(sql.Identifier, known))
        command = sql.SQL("COPY {} ({}) FROM STDIN").format(_TABLE, target)
        with connection.cursor() as cursor, cursor.copy(command) as copy:
            for row in alike:
                copy.write_row([_cell(row[key]) for key in known])
                written += 1
    return written


def load_rows(conninfo: str, path: Path) -> int:
    """Append a file of JSON lines to the spend table, whatever columns it has; return the number of rows."""
    with psycopg.connect(conninfo) as connection, path.open("rb") as lines:
        return write_rows(connection, map(msgspec.json.decode, lines))


def _cell(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict | list) else value
