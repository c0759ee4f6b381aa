"""`RECONCILE_LAG`: ClickHouse may take so long to show an event; an open attempt is not asked about before."""

import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import BATCH, QUICK, assert_exact, batches, counted, environment, reconcile, used


def let_it_be_open_for(ledger: Database, seconds: float) -> None:
    """Let the open attempt have begun so long ago."""
    ledger.fetch("UPDATE reconciler.batch SET open_since = clock_timestamp() - make_interval(secs => %s)", seconds)
    ledger.fetch("UPDATE reconciler.lago SET asked_at = asked_at - interval '3 minutes'")


def questions(lago: Sandbox) -> int:
    """How often Lago was asked for events."""
    return sum(request["path"].startswith("/api/v1/events?") for request in lago.requests())


@pytest.mark.parametrize(("lag", "seconds"), [("", 60), ("10m", 600)])
def test_an_open_attempt_is_asked_about_once_its_request_has_ended_and_the_lag_is_over(
    lag: str, seconds: float, proxy_db: Database, clickhouse: Sandbox
) -> None:
    clickhouse.clickhouse(lag=None)
    environ = environment(proxy_db, clickhouse) | ({"RECONCILE_LAG": lag} if lag else {})
    proxy_db.insert(spend_row())
    clickhouse.faults({"kind": "commit_then_500", "path": BATCH})
    with pytest.raises(LagoError, match="stay planned"):
        reconcile(environ, since="2h")
    clickhouse.clear_requests()

    let_it_be_open_for(proxy_db, QUICK.request + seconds - 8)
    assert reconcile(environ).delivered.accepted == 0
    assert (questions(clickhouse), batches(clickhouse)) == (0, []), "it may not be visible yet"

    clickhouse.release()
    let_it_be_open_for(proxy_db, QUICK.request + seconds)
    assert reconcile(environ).delivered.accepted == 1
    assert (questions(clickhouse), batches(clickhouse)) == (1, []), "Lago has it, so it does not go again"
    assert_exact(proxy_db, clickhouse)


def test_what_lago_does_not_show_after_the_lag_goes_again(proxy_db: Database, clickhouse: Sandbox) -> None:
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="5m")
    proxy_db.insert(spend_row())
    clickhouse.faults({"kind": "status", "path": BATCH})
    with pytest.raises(LagoError, match="stay planned"):
        reconcile(environ, since="2h")
    let_it_be_open_for(proxy_db, QUICK.request + 300 - 8)
    assert reconcile(environ).delivered.accepted == 0
    assert len(batches(clickhouse)) == 1
    let_it_be_open_for(proxy_db, QUICK.request + 300)
    assert reconcile(environ).delivered.accepted == 1
    assert len(batches(clickhouse)) == 2
    assert_exact(proxy_db, clickhouse)


def test_with_deduplication_no_lag_is_waited_for(proxy_db: Database) -> None:
    with Sandbox(store="clickhouse", deduplication=True, lag=None) as lago:
        environ = environment(proxy_db, lago, RECONCILE_DEDUPLICATION="true", RECONCILE_LAG="10m")
        proxy_db.insert(spend_row())
        lago.faults({"kind": "commit_then_500", "path": BATCH})
        assert reconcile(environ, since="2h").delivered.accepted == 1
        assert len(batches(lago)) == 2
        lago.release()
        assert counted(lago) == used(proxy_db)
