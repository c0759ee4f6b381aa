"""A customer id of 1 MB stops nobody else's billing: Lago can't hold it, so it ends in quarantine."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import EVENTS, assert_exact, environment, reconcile

HUGE = "🦊x" * 2**18


@pytest.mark.proof
def test_a_huge_id_stops_nobody_else(proxy_db: Database, lago: Sandbox) -> None:
    # The column "user" has no index, so Postgres takes what a client says.
    start = datetime.now(UTC) - timedelta(hours=3)
    usual = [spend_row(user=f"user-{number}", startTime=start) for number in range(150)]
    proxy_db.insert(*usual, spend_row(user=HUGE, startTime=start))
    environ = environment(proxy_db, lago, LAGO_API_CHARGE_BY="user_id")
    summary = reconcile(environ, since="4h")
    assert (summary.delivered.accepted, summary.delivered.quarantined) == (150, 1)
    assert [alarm["kind"] for alarm in summary.alarms] == ["quarantined"]
    assert summary.exit_code == 3
    assert_exact(proxy_db, lago, customer="user", where='length("user") < 100', undelivered=1)
    [(customer, answer)] = proxy_db.fetch(f"SELECT customer, answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert customer == HUGE
    assert answer.startswith("not sent: its subscription's name has 1310720 bytes")

    proxy_db.insert(spend_row(user="user-1"), spend_row(user=HUGE))
    again = reconcile(environ)
    assert (again.delivered.accepted, again.delivered.quarantined) == (1, 1)
    assert_exact(proxy_db, lago, customer="user", where='length("user") < 100', undelivered=2)


def test_a_name_that_a_gateway_refuses_stops_nobody_else(proxy_db: Database, lago: Sandbox) -> None:
    start = datetime.now(UTC) - timedelta(hours=3)
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", startTime=start) for number in range(5)))
    lago.faults({"kind": "status", "status": 414, "body": "URI Too Long", "path": "/api/v1/subscriptions/customer%203"})
    environ = environment(proxy_db, lago)
    summary = reconcile(environ, since="4h")
    assert lago.pending_faults() == []
    assert summary.delivered.accepted == 4
    assert proxy_db.fetch(f"SELECT customer FROM {EVENTS} WHERE state = 'planned'") == [("customer 3",)]
    assert reconcile(environ).delivered.accepted == 1, "the next pass asks again"
    assert_exact(proxy_db, lago)
