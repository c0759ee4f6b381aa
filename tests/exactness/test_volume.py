"""40,000 rows as a proxy writes them, many of them late, some updated: billed to the last decimal.

Two meters bill them, one with its ledger beside the source and one with its ledger elsewhere.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.demo.litellm import SpendRow
from reconciler.demo.traffic import generate, write
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import assert_exact, batches, environment, let_time_pass, reconcile

SEED, ROWS = 20261124, 40_000


@pytest.mark.proof(seconds=12)
def test_40_000_rows_are_exact(proxy_db: Database, empty_db: Database) -> None:
    until = datetime.now(UTC) - timedelta(minutes=30)
    since = until - timedelta(days=1)
    written, late = _split(generate(SEED, since, until, ROWS, customer_count=20), until - timedelta(hours=8))
    with Sandbox() as one, Sandbox() as two:
        both = ((proxy_db, one), (empty_db, two))
        environs = [environment(proxy_db, lago, ledger=ledger) for ledger, lago in both]

        def bill(*, after: str = "", since: datetime | None = None) -> list[Summary]:
            for ledger, _ in both if since is None else ():
                let_time_pass(ledger, after)
            return [reconcile(environ, since=since.isoformat() if since else None) for environ in environs]

        def assert_billed() -> None:
            for ledger, lago in both:
                _billed(proxy_db, lago, ledger)

        write(proxy_db.url, written)
        for first in bill(since=since):
            assert first.delivered.accepted == first.tally.events_planned > 1000
        assert_billed()

        write(proxy_db.url, late)
        assert all(second.delivered.accepted > 500 for second in bill(after="2 hours"))
        assert_billed()

        proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET spend = 1e-07 WHERE cache_hit = 'True'""")
        assert all(third.tally.cost_planned > 0 for third in bill(after="2 days"))
        assert_billed()

        sent = [len(batches(lago)) for _, lago in both]
        for last in bill(after="2 days"):
            assert (last.tally.events_planned, last.delivered.accepted) == (0, 0)
            assert last.tally.windows >= 96
        assert [len(batches(lago)) for _, lago in both] == sent, "so Lago counts what it did"


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
