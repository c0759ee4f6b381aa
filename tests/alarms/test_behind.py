"""The alarm `behind`: what is planned does not get to Lago for more than an hour, whatever the reason."""

from typing import Any

import pytest

from reconciler.model.errors import LagoError
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import BATCH, assert_exact, backlog, customers, environment, let_minutes_pass, reconcile

THROTTLED = {"kind": "status", "status": 429, "headers": {"Retry-After": "60"}, "count": None, "path": BATCH}


def planned_ago(ledger: Database, span: str) -> None:
    """Let what waits have been planned so long ago."""
    ledger.fetch("UPDATE reconciler.batch SET planned_at = clock_timestamp() - %s::interval", span)


def ringing(summary: Summary) -> list[dict[str, Any]]:
    return [alarm for alarm in summary.alarms if alarm["kind"] == "behind"]


@pytest.fixture
def throttled(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter with four events planned, whose Lago answers 429 to each batch."""
    environ = environment(proxy_db, lago, RECONCILE_DEADLINE="1s")
    customers(proxy_db, 4)
    lago.faults(THROTTLED)
    done = reconcile(environ, since="2h")
    assert (done.exit_code, done.alarms) == (0, []), "a backlog for the next pass is no alarm"
    return environ


def test_a_lago_that_always_asks_to_wait_rings_after_an_hour(
    throttled: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    planned_ago(proxy_db, "59 minutes")
    assert not ringing(reconcile(throttled))
    planned_ago(proxy_db, "61 minutes")
    done = reconcile(throttled)
    assert done.exit_code == 3
    [alarm] = ringing(done)
    assert alarm["message"].startswith("4 events (0.000054 USD) wait to be delivered, the oldest since 20")
    assert " UTC (the last failure: 429, it asks to wait)." in alarm["message"]
    assert "RECONCILE_DEADLINE" in alarm["message"]

    lago.clear_faults()
    done = reconcile(throttled)
    assert (done.exit_code, done.alarms) == (0, []), "it clears itself"
    assert_exact(proxy_db, lago)


def test_what_was_never_tried_rings_too(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError, match="401"):
        reconcile(environ, since="2h")
    planned_ago(proxy_db, "1 day")
    with pytest.raises(LagoError, match="401"):
        reconcile(environ)
    [(message,)] = proxy_db.fetch("SELECT message FROM reconciler.alarm WHERE kind = 'behind' AND cleared_at IS NULL")
    assert "(no try has failed)" in message


def test_a_backlog_that_is_sent_in_this_pass_does_not_ring(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 3)
    planned_ago(proxy_db, "1 day")
    let_minutes_pass(proxy_db)
    assert reconcile(environ).alarms == []
