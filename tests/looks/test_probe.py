"""The probe reads counts alone, from the index; only windows whose count differs get exact totals."""

import json
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from reconciler.capture.source import Source, values
from reconciler.database.postgres import Postgres, cursor
from reconciler.model.errors import SourceError
from reconciler.model.terms import Stretch
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests import sessions
from tests.conftest import Database, spend_row
from tests.looks.conftest import looked_at
from tests.support import assert_exact, let_time_pass, reconcile, window

ROWS = 20_000

# As wide as real rows, evenly over 20 days of which the last ended two hours ago.
_FILL = """
INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", spend, prompt_tokens,
                                 completion_tokens, model, end_user, metadata)
SELECT 'row-' || number, 'acompletion', moment, moment, 0.001, 10, 20, 'm', 'acme',
       jsonb_build_object('padding', repeat(md5(number::text), 20))
FROM (SELECT number, (now() AT TIME ZONE 'UTC') - interval '2 hours' - number * interval '20 days' / %s AS moment
      FROM generate_series(1, %s) AS number) AS row
"""


def _fill(database: Database) -> None:
    database.fetch(_FILL, ROWS, ROWS)
    database.fetch('VACUUM ANALYZE "LiteLLM_SpendLogs"')


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]


def test_counts_are_an_index_only_scan_of_the_start_time(proxy_db: Database, environ: dict[str, str]) -> None:
    _fill(proxy_db)
    settings = load_settings(environ=environ)
    postgres = Postgres(settings.source, error=SourceError, statement_timeout=timedelta(minutes=1))
    source = Source(postgres)
    stretch = Stretch(settings.meters[0].terms, window() - timedelta(days=19), window())

    with source.transaction() as connection:
        explain = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) {}").format(source.counts())
        row = cursor(connection).execute(explain, values(stretch)).fetchone()

    assert row is not None
    explained: Any = row[0] if isinstance(row[0], list) else json.loads(str(row[0]))
    scans = [node for node in _nodes(explained[0]["Plan"]) if "Relation Name" in node]
    assert {scan["Node Type"] for scan in scans} == {"Index Only Scan"}
    assert {scan["Index Name"] for scan in scans} <= {
        "LiteLLM_SpendLogs_startTime_idx",
        "LiteLLM_SpendLogs_startTime_request_id_idx",
    }
    assert sum(scan["Heap Fetches"] for scan in scans) == 0


def _rows_read(database: Database) -> int:
    """How many rows of the spend table were read so far, index entries not counted."""
    sessions.close_idle(database.url)
    with database.connect() as connection:
        _others_gone(connection)
        row = connection.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'LiteLLM_SpendLogs'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _others_gone(connection: psycopg.Connection[Any]) -> None:
    """Wait until every other session has ended: by then it has told what it read."""
    others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 60
    while connection.execute(others.encode()).fetchone() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.proof
def test_a_probe_that_finds_nothing_reads_no_row(proxy_db: Database, environ: dict[str, str]) -> None:
    _fill(proxy_db)
    reconcile(environ, since="21d")
    before = _rows_read(proxy_db)
    assert before >= ROWS

    let_time_pass(proxy_db, "61 minutes")
    probed = reconcile(environ)

    assert proxy_db.fetch("SELECT kind FROM reconciler.look WHERE finished_at IS NOT NULL") == [("probe",)]
    assert probed.tally.rows == 0
    # What a pass reads besides: the oldest row, once a chunk.
    assert _rows_read(proxy_db) - before < 20


@pytest.mark.proof
def test_only_windows_that_differ_are_summed_again(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    late = [window() - timedelta(days=days) for days in (3, 11)]
    proxy_db.insert(*(spend_row(startTime=window() - timedelta(days=days)) for days in range(1, 15)))
    reconcile(environ, since="20d")
    before = looked_at(proxy_db)

    proxy_db.insert(*(spend_row(startTime=moment, spend=0.1) for moment in late))
    let_time_pass(proxy_db, "61 minutes")
    probed = reconcile(environ)

    after = looked_at(proxy_db)
    again = {start for start in before if after[start] > before[start]}
    assert {start for start in again if start < window() - timedelta(days=1)} == set(late)
    assert probed.tally.windows == len(after.keys() - before.keys()) + len(again)
    assert probed.tally.windows < 10
    assert probed.tally.rows == 2
    assert_exact(proxy_db, lago)
