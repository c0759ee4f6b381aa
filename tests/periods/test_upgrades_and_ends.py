"""Usage of a span that an upgrade or an end has invoiced at once: sent, it would be in no invoice ever."""

from datetime import timedelta
from decimal import Decimal

from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, held, long_ago, now
from tests.support import environment, reconcile


def test_an_upgrade_a_minute_after_the_window(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.subscribe(plan="better")
    done = reconcile(environment(proxy_db, billing.lago), since="2h")
    assert (done.delivered.accepted, done.delivered.held, done.exit_code) == (0, 1, 3)
    words = f"its billing period is closed: invoice {billing.number()} of {now():%Y-%m-%d} is finalized"
    assert held(proxy_db) == [(words, Decimal("2.5"))]


def test_an_end(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.end()
    done = reconcile(environment(proxy_db, billing.lago), since="2h")
    assert (done.delivered.accepted, done.delivered.held) == (0, 1)
    assert billing.number() in held(proxy_db)[0][0]


def test_an_end_without_an_invoice(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.end(on_termination_invoice="skip")
    reconcile(environment(proxy_db, billing.lago), since="2h")
    ((words, _),) = held(proxy_db)
    assert words.startswith("its subscription ended ")
    assert words.endswith(" UTC and no invoice will come")


def test_a_row_that_appears_after_it_was_known_otherwise(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    billing.subscribe("other", made=long_ago())
    proxy_db.insert(spend_row(spend=0.25), spend_row(end_user="other"))
    environ = environment(proxy_db, billing.lago)
    assert reconcile(environ, since="2h").delivered.accepted == 2
    billing.subscribe(plan="better")
    proxy_db.insert(spend_row(spend=2.5, startTime=now() - timedelta(minutes=30)), spend_row(end_user="other"))
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.held) == (1, 1)
    assert [cost for _, cost in held(proxy_db)] == [Decimal("2.5")]


def test_what_was_used_before_two_upgrades(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.subscribe(plan="better")
    billing.subscribe(plan="llm")
    reconcile(environment(proxy_db, billing.lago), since="2h")
    assert [cost for _, cost in held(proxy_db)] == [Decimal("2.5")]


def test_days_of_grace_make_a_draft_that_takes_it(proxy_db: Database, billing: Billing) -> None:
    billing.grace(2)
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(spend=2.5))
    billing.subscribe(plan="better")
    done = reconcile(environment(proxy_db, billing.lago), since="2h")
    assert (done.delivered.accepted, done.alarms) == (1, [])
    assert billing.invoiced() == [Decimal("2.5")]


def test_a_worker_with_a_backlog_bills_it_yet(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    billing.lago.biller(paused=True)
    proxy_db.insert(spend_row(spend=2.5))
    billing.end()
    done = reconcile(environment(proxy_db, billing.lago), since="2h")
    assert (done.delivered.accepted, done.alarms) == (1, [])
    billing.lago.biller(paused=False)
    assert billing.invoiced() == [Decimal("2.5")]
