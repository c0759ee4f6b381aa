"""A quarantined event may have reached Lago all the same: on retry it is read back first, not billed twice."""

import pytest

from reconciler.model.errors import LagoAwayError
from reconciler.sandbox import Sandbox
from tests import commands
from tests.conftest import Database, spend_row
from tests.support import BATCH, assert_exact, batches, environment, let_minutes_pass, reconcile


@pytest.mark.proof
def test_a_retry_reads_back_what_may_have_been_stored(proxy_db: Database, clickhouse: Sandbox) -> None:
    """It fails until it is quarantined; ClickHouse may have got it from the last try, and shows it only later."""
    environ = environment(proxy_db, clickhouse)
    proxy_db.insert(spend_row(end_user="unlucky"))
    failing = {"kind": "status", "path": BATCH, "count": None, "external_subscription_id": "unlucky"}
    clickhouse.faults(failing)
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    proxy_db.fetch("UPDATE reconciler.batch SET failures = 8, proof = 80")  # two rounds have shown much, a third ends
    let_minutes_pass(proxy_db)
    clickhouse.clickhouse(lag=None)
    clickhouse.clear_faults()
    clickhouse.faults(failing | {"commit": True})
    proxy_db.insert(spend_row(end_user="another"))
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.quarantined) == (1, 1)
    clickhouse.clear_faults()
    clickhouse.clear_requests()

    assert commands.run(environ, "quarantine", "retry", "--all").returncode == 0

    assert reconcile(environ).delivered.accepted == 0, "what may have been sent can't be seen yet"
    assert clickhouse.release() == 2
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert batches(clickhouse) == []
    clickhouse.release()
    assert_exact(proxy_db, clickhouse)
