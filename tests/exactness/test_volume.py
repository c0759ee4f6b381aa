"""200,000 rows as a proxy writes them, many of them late, some updated: billed to the last decimal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.demo.litellm import SpendRow
from reconciler.demo.traffic import generate, write
from reconciler.sandbox import Sandbox
from tests.conftest import Database, new_database
from tests.support import assert_exact, environment, let_time_pass, reconcile

SEED, ROWS = 20261124, 200_000


@pytest.mark.proof(seconds=40)
@pytest.mark.parametrize("databases", ["one", "two"])
def test_200_000_rows_are_exact(proxy_db: Database, lago: Sandbox, databases: str) -> None:
    with new_database(proxy_db.server) as other:
        ledger = other if databases == "two" else proxy_db
        environ = environment(proxy_db, lago, ledger=ledger)
        until = datetime.now(UTC) - timedelta(minutes=30)
        since = until - timedelta(days=1)

        written, late = _split(generate(SEED, since, until, ROWS, customer_count=20), until - timedelta(hours=8))
        write(proxy_db.url, written)
        first = reconcile(environ, since=since.isoformat())
        assert first.delivered.accepted == first.tally.events_planned > 1000
        _billed(proxy_db, lago, ledger)

        write(proxy_db.url, late)
        let_time_pass(ledger, "2 hours")
        assert reconcile(environ).delivered.accepted > 1000
        _billed(proxy_db, lago, ledger)

        proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET spend = 1e-07 WHERE cache_hit = 'True'""")
        let_time_pass(ledger, "2 days")
        assert reconcile(environ).tally.cost_planned > 0
        _billed(proxy_db, lago, ledger)

        let_time_pass(ledger, "2 days")
        last = reconcile(environ)
        assert (last.tally.events_planned, last.delivered.accepted) == (0, 0)
        assert last.tally.windows >= 96
        _billed(proxy_db, lago, ledger)


def _split(rows: Any, moment: datetime) -> tuple[list[SpendRow], list[SpendRow]]:
    """Rows written by the moment and rows written later, a part of them for hours that were looked at before."""
    every = list(rows)
    return (
        [row for row in every if row["created_at"] < moment.replace(tzinfo=None)],
        [row for row in every if row["created_at"] >= moment.replace(tzinfo=None)],
    )


def _billed(source: Database, lago: Sandbox, ledger: Database) -> None:
    assert_exact(source, lago, ledger=ledger)
    [(rows,)] = source.fetch('SELECT count(*) FROM "LiteLLM_SpendLogs"')
    [(seen,)] = ledger.fetch('SELECT sum(rows) FROM reconciler."window"')
    assert seen == rows
