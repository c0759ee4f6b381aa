"""`RECONCILE_CLOSED_PERIOD`: usage that Lago would not bill goes into the present period, or as it is."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, held, last_period, long_ago
from tests.support import environment, reconcile


def test_moved_after_an_upgrade_it_lies_in_the_new_ones_life(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.subscribe(plan="better")
    done = reconcile(environment(proxy_db, billing.lago, RECONCILE_CLOSED_PERIOD="move"), since="2h")
    assert (done.delivered.accepted, done.alarms) == (1, [])
    assert billing.current() == Decimal("2.5")
    [(payload,)] = proxy_db.fetch("SELECT payload FROM reconciler.event")
    [event] = billing.lago.events()
    assert json.loads(payload)["timestamp"][-4:] in {".000", ".250", ".500", ".750"}
    assert json.loads(payload)["transaction_id"] == event["transaction_id"]


@pytest.mark.proof
def test_what_was_held_moves_once_the_settings_say_so(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(startTime=last_period(), spend=0.5), spend_row(startTime=last_period(), model="other"))
    environ = environment(proxy_db, billing.lago)
    assert reconcile(environ, since=f"{last_period():%Y-%m-%d}").delivered.held == 2
    done = reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "move"})
    assert (done.delivered.accepted, held(proxy_db)) == (2, [])
    assert billing.current() == Decimal("0.5")


def test_without_a_present_period_it_is_held(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.end()
    environ = environment(proxy_db, billing.lago, RECONCILE_CLOSED_PERIOD="move")
    assert reconcile(environ, since="2h").delivered.held == 1
    assert reconcile(environ).delivered.accepted == 0


def test_sent_it_keeps_its_timestamp_and_nobody_is_asked(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5))
    environ = environment(proxy_db, billing.lago)
    assert reconcile(environ, since=f"{last_period():%Y-%m-%d}").delivered.held == 1
    billing.lago.clear_requests()
    done = reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "send"})
    assert (done.delivered.accepted, done.alarms, billing.asked()) == (1, [], [])
    [event] = billing.lago.events()
    assert event["timestamp"].startswith(f"{last_period():%Y-%m-%dT01:14:59.999}")
