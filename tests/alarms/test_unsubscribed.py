"""Usage of a name of which Lago knows no subscription is sent, shown with its USD, and an alarm after an hour."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, billing, long_ago
from tests.process import only_object
from tests.support import assert_exact, environment, let_minutes_pass, reconcile

__all__ = ["billing"]


def _noted_ago(ledger: Database, span: str) -> None:
    """Let what was noted have been noted, and last asked about, so long ago."""
    ledger.fetch("UPDATE reconciler.unsubscribed SET noted_at = now() - %s::interval, asked_at = now() - %s::interval",
                 span, span)  # fmt: skip
    ledger.fetch("UPDATE reconciler.subscription SET asked_at = now() - %s::interval, good_until = now()", span)


def _alarm(done: Summary) -> dict[str, Any] | None:
    return next((alarm for alarm in done.alarms if alarm["kind"] == "unsubscribed"), None)


def _figures(done: Summary) -> tuple[int, Decimal]:
    assert done.balance is not None
    return done.balance.unsubscribed_events, done.balance.unsubscribed_cost


def test_it_is_sent_shown_and_after_an_hour_an_alarm_until_a_subscription_reaches_back(
    proxy_db: Database, lago: Sandbox, billing: Billing
) -> None:
    environ = environment(proxy_db, lago)
    billing.subscribe("acme", made=long_ago())
    proxy_db.insert(
        spend_row(end_user="acme", spend=1.0),
        spend_row(end_user="globex", spend=2.5),
        spend_row(end_user="globex", spend=0.0000001, model="other"),
        spend_row(end_user="initech", spend=3.0),
    )
    shown = run(environ, "--since", "2h")
    assert shown.returncode == 0
    assert "  3 events sent for names that have no subscription in Lago (5.50 USD): " in shown.stdout
    assert_exact(proxy_db, lago)

    _noted_ago(proxy_db, "61 minutes")
    late = reconcile(environ)
    assert _figures(late) == (3, Decimal("5.5000001"))
    alarm = _alarm(late)
    assert alarm is not None
    assert (alarm["extent"], alarm["cost"]) == ("3", "5.5000001")
    assert alarm["message"].startswith(
        "3 events (5.5000001 USD) went to Lago for 2 names of which it knows no subscription, most of it for "
        "initech (3 USD), globex (2.5000001 USD). No invoice covers it yet. Make a subscription"
    )
    status = only_object(run(environ, "status", "--json"))["meters"][0]
    assert (status["events_unsubscribed"], status["cost_unsubscribed"]) == (3, "5.5000001")

    # One that reaches back ends it; one that began too late does not.
    billing.subscribe("globex", subscription_at=f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}")
    billing.subscribe("initech")
    _noted_ago(proxy_db, "61 minutes")
    after = reconcile(environ)
    assert _figures(after) == (1, Decimal(3))
    alarm = _alarm(after)
    assert alarm is not None
    assert "Of 1 of them there is one now that began later than their usage." in alarm["message"]


@pytest.mark.proof
def test_each_event_is_noted_once_however_often_it_is_tried(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", spend=1.0) for number in range(3)))
    lago.faults({"kind": "status", "status": 429, "count": 3, "path": "/api/v1/events/batch"})
    for minutes in range(3):
        reconcile(environ | {"RECONCILE_DEADLINE": "1s"}, since=None if minutes else "2h")
        let_minutes_pass(proxy_db)
    proxy_db.insert(spend_row(end_user="customer 0", spend=0.5))
    assert _figures(reconcile(environ)) == (4, Decimal("3.5"))
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'planned', open_since = attempted_at, leased_until = NULL")
    assert _figures(reconcile(environ)) == (4, Decimal("3.5"))


def test_where_nobody_is_asked_nothing_is_noted(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_CLOSED_PERIOD="send")
    proxy_db.insert(spend_row())
    assert _figures(reconcile(environ, since="2h")) == (0, Decimal(0))


def test_a_name_that_cannot_be_asked_for_again_stops_nobody_and_goes_behind_the_others(
    proxy_db: Database, lago: Sandbox, billing: Billing
) -> None:
    environ = environment(proxy_db, lago)
    billing.subscribe("acme", made=long_ago())
    proxy_db.insert(spend_row(end_user="globex"))
    assert reconcile(environ, since="2h").delivered.accepted == 1
    _noted_ago(proxy_db, "61 minutes")
    lago.faults({"kind": "status", "status": 500, "path": "/api/v1/subscriptions/globex", "count": None})
    proxy_db.insert(spend_row(end_user="acme"))
    assert reconcile(environ).delivered.accepted == 1
    assert proxy_db.fetch("SELECT now() - asked_at < '10 minutes' FROM reconciler.unsubscribed") == [(True,)]
