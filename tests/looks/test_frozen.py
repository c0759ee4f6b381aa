"""A bucket whose source holds less than was billed is frozen: shown, never credited, and whole again by itself."""

from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, counted, let_time_pass, reconcile, window


def _kinds(done: Summary) -> list[str]:
    return [alarm["kind"] for alarm in done.alarms]


LESS = {
    "spend lowered": "UPDATE {} SET spend = 1e-9",
    "tokens lowered": "UPDATE {} SET completion_tokens = 19",
    "spend raised and tokens lowered": "UPDATE {} SET spend = 7, prompt_tokens = 0",
    "row deleted": "DELETE FROM {}",
}
"""What a customer of that name suffers."""


@pytest.mark.proof
def test_any_measure_below_what_was_billed_freezes_the_bucket_until_it_is_whole(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    moment = window() - timedelta(days=3)
    hour = timedelta(hours=1)
    rows = {name: spend_row(startTime=moment - hour * (name == "row deleted"), end_user=name) for name in LESS}
    proxy_db.insert(*rows.values(), spend_row(startTime=moment - timedelta(days=1)), spend_row(startTime=moment))
    reconcile(environ, since="5d")
    billed = counted(lago)

    for name, change in LESS.items():
        proxy_db.fetch(change.format('"LiteLLM_SpendLogs"') + " WHERE end_user = %s", name)
    for due, buckets in (("61 minutes", 1), ("2 days", 4)):
        let_time_pass(proxy_db, due)
        frozen = reconcile(environ)
        assert (frozen.tally.frozen_buckets, frozen.tally.events_planned) == (buckets, 0)
        assert (_kinds(frozen), frozen.exit_code) == (["frozen"], 3)
    assert counted(lago) == billed

    # A pass that does not look there still shows it.
    assert _kinds(reconcile(environ)) == ["frozen"]

    # More usage in a bucket is billed once it is whole.
    for name, row in rows.items():
        proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE end_user = %s', name)
        proxy_db.insert(row)
    proxy_db.insert(spend_row(startTime=moment, spend=0.5))
    let_time_pass(proxy_db, "2 days")
    whole = reconcile(environ)
    assert (whole.tally.frozen_buckets, whole.tally.events_planned) == (0, 1)
    assert (_kinds(whole), whole.exit_code) == ([], 0)
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_frozen_bucket_keeps_what_came_late_until_it_is_whole(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    moment = window() - timedelta(days=3)
    row = spend_row(startTime=moment, spend=1.0)
    proxy_db.insert(row, spend_row(startTime=moment - timedelta(days=1)))
    reconcile(environ, since="5d")
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = %s', row["request_id"])
    proxy_db.insert(*(spend_row(startTime=moment, spend=0.25) for _ in range(2)))
    let_time_pass(proxy_db, "61 minutes")
    frozen = reconcile(environ)
    assert frozen.balance is not None
    assert (frozen.balance.frozen_buckets, frozen.balance.frozen_cost) == (1, Decimal("0.5"))
    assert frozen.tally.events_planned == 0

    proxy_db.insert(row)
    let_time_pass(proxy_db, "61 minutes")
    whole = reconcile(environ)
    assert whole.tally.cost_planned == Decimal("0.5")
    assert _kinds(whole) == []
    assert_exact(proxy_db, lago)
