"""The alarm `behind`: what is planned does not get to Lago for more than an hour, whatever the reason."""

import time
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.errors import LagoError
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import start
from tests.support import (
    BATCH,
    QUICK,
    TURN,
    assert_exact,
    backlog,
    batches,
    customers,
    end_leases,
    environment,
    let_minutes_pass,
    reconcile,
)

THROTTLED = {"kind": "status", "status": 429, "headers": {"Retry-After": "60"}, "count": None, "path": BATCH}


def planned_ago(ledger: Database, span: str) -> None:
    """Let what waits have been planned so long ago."""
    ledger.fetch("UPDATE reconciler.batch SET planned_at = clock_timestamp() - %s::interval", span)


def passes_ago(ledger: Database, span: str) -> None:
    """Let all passes have been so long ago."""
    ledger.fetch(
        "UPDATE reconciler.run SET started_at = started_at - %s::interval, finished_at = finished_at - %s::interval",
        span, span,
    )  # fmt: skip


def message(ledger: Database) -> str | None:
    """What the ledger's alarm says, if it rings."""
    found = ledger.fetch("SELECT message FROM reconciler.alarm WHERE kind = 'behind' AND cleared_at IS NULL")
    return found[0][0] if found else None


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


@pytest.mark.proof
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
    assert " UTC (the last failure: 429, it asks to wait), most of it of customer " in alarm["message"]
    assert alarm["message"].count("(0.0000135 USD)") == 3, "the first three are named"
    assert "RECONCILE_DEADLINE" in alarm["message"]

    lago.clear_faults()
    done = reconcile(throttled | {"RECONCILE_DEADLINE": "60s"})
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


@pytest.mark.proof
def test_passes_that_never_finish_or_find_another_one_running_ring_after_an_hour(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h")
    customers(proxy_db, 1)
    lago.faults({"kind": "hang", "seconds": 60, "method": "POST", "count": None})
    lago.clear_requests()
    killed = start(environ)  # as by a machine that ends each pass too early
    while not batches(lago) and killed.poll() is None:
        time.sleep(0.02)
    killed.kill()
    killed.communicate()

    with proxy_db.connect(autocommit=False) as hanging:
        hanging.execute(TURN)
        quick = replace(QUICK, turn=0.1)
        assert reconcile(environ, limits=quick).skipped
        assert message(proxy_db) is None
        passes_ago(proxy_db, "61 minutes")
        assert reconcile(environ, limits=quick).skipped
        said = str(message(proxy_db))
        assert said.startswith("Passes begin and do not finish since 20")
        assert " UTC (2) has found another one running: see whether that one hangs, and end it." in said
        shown = run(environ, "status")
        assert (shown.returncode, "alarm 1 (behind): Passes begin" in shown.stdout) == (1, True)

    lago.clear_faults()
    end_leases(proxy_db)
    assert reconcile(environ).alarms == []
    assert_exact(proxy_db, lago)


def test_a_backlog_that_is_sent_in_this_pass_does_not_ring(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 3)
    planned_ago(proxy_db, "1 day")
    let_minutes_pass(proxy_db)
    assert reconcile(environ).alarms == []
