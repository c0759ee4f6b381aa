"""In a partitioned spend table request_id repeats: each row counts, wherever it lies."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.demo.litellm import partition_spend_logs
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import Usage, assert_exact, counted, environment, reconcile


def test_rows_that_share_a_request_id_are_both_billed(proxy_db: Database, lago: Sandbox) -> None:
    partition_spend_logs(proxy_db.url)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    twice = [spend_row(request_id="again", startTime=start + timedelta(milliseconds=ms)) for ms in (0, 1)]
    yesterday = spend_row(request_id="again", startTime=start - timedelta(days=1))
    before = spend_row(request_id="again", startTime=start - timedelta(days=20))
    proxy_db.insert(*twice, yesterday, before)
    reconcile(environment(proxy_db, lago), since="30d")
    assert counted(lago) == {("acme", "openai/gpt-4o-mini"): Usage(40, 80, Decimal("0.000054"), 4)}
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_turning_the_table_into_partitions_bills_nothing_twice(proxy_db: Database, lago: Sandbox) -> None:
    """LiteLLM's runbook leaves history in another table: to the reconciler it is deleted, not credited."""
    old = [spend_row(startTime=datetime.now(UTC) - timedelta(hours=hours)) for hours in (3, 48, 72)]
    proxy_db.insert(*old)
    environ = environment(proxy_db, lago)
    reconcile(environ, since="7d")
    before = counted(lago)

    partition_spend_logs(proxy_db.url)
    proxy_db.fetch(
        """INSERT INTO "LiteLLM_SpendLogs" SELECT * FROM "LiteLLM_SpendLogs_legacy"
           WHERE "startTime" > now() AT TIME ZONE 'UTC' - interval '1 day'"""
    )
    summary = reconcile(environ)
    assert summary.tally.events_planned == 0
    assert counted(lago) == before
    assert [alarm["kind"] for alarm in summary.alarms] == ["purged"]

    proxy_db.insert(spend_row())
    assert reconcile(environ).delivered.accepted == 1
