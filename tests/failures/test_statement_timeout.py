"""RECONCILE_STATEMENT_TIMEOUT: a chunk that takes too long is cut; what can't be cut is told in one sentence."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import sql

from reconciler.capture.source import Source
from reconciler.sandbox import Sandbox
from reconciler.settings.limits import Limits
from tests.conftest import Database, spend_row
from tests.failures.conftest import Fails
from tests.support import TURN, assert_exact, environment, reconcile

SLOW = "SELECT totals.* FROM ({}) AS totals, LATERAL (SELECT pg_sleep(0.035 * requests)) AS slept"
"""Totals that take a while for each row."""


def test_a_chunk_that_takes_too_long_is_cut(proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = datetime.now(UTC).replace(minute=0) - timedelta(hours=2)
    proxy_db.insert(
        *(spend_row(startTime=begin + timedelta(minutes=minute), end_user=f"c-{minute % 7}") for minute in range(60))
    )
    totals = Source.totals
    monkeypatch.setattr(Source, "totals", lambda *given: sql.SQL(SLOW).format(totals(*given)))

    # An hour's rows take two seconds, those of 15 minutes half a second.
    summary = reconcile(environment(proxy_db, lago, RECONCILE_STATEMENT_TIMEOUT="1s"), since=begin.isoformat())

    assert summary.tally.rows == 60
    assert_exact(proxy_db, lago)


def test_a_source_that_does_not_answer_in_time_is_told_in_one_sentence(
    used_db: Database, lago: Sandbox, fails: Fails
) -> None:
    environ = environment(used_db, lago, RECONCILE_STATEMENT_TIMEOUT="1s")
    with used_db.connect(autocommit=False) as migration:
        migration.execute('LOCK TABLE "LiteLLM_SpendLogs"')
        sentence = fails(environ, "--since", "1h")

    assert sentence.startswith("DATABASE_URL (postgresql://")
    assert "a statement took longer than 1 s" in sentence
    assert "RECONCILE_STATEMENT_TIMEOUT" in sentence
    reconcile(environ, since="1d")
    assert_exact(used_db, lago)


def test_a_turn_may_be_waited_for_longer_than_a_statement_may_take(used_db: Database, lago: Sandbox) -> None:
    environ = environment(used_db, lago, RECONCILE_STATEMENT_TIMEOUT="1s")
    reconcile(environ)
    with used_db.connect(autocommit=False) as another:
        another.execute(TURN)
        summary = reconcile(environ, limits=Limits(turn=1.5))

    assert summary.skipped
    assert summary.error is None
    assert summary.exit_code == 0
