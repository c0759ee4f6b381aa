"""Late usage of last month: a draft takes it, and so does an invoice that is not made yet; a final one does not."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, held, last_period, long_ago, now
from tests.support import environment, reconcile


def _rows(source: Database) -> str:
    source.insert(
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5),
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.25, end_user="nobody subscribed"),
        spend_row(startTime=now() - timedelta(minutes=20), spend=0.125, end_user="nobody subscribed"),
    )
    return f"{last_period():%Y-%m-%d}"


def test_a_final_invoice_holds_it_while_other_usage_goes_on(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    environ, since = environment(proxy_db, billing.lago), _rows(proxy_db)
    done = reconcile(environ, since=since)
    assert (done.delivered.accepted, done.delivered.held, done.exit_code) == (2, 1, 3)
    assert [alarm["kind"] for alarm in done.alarms] == ["held"]
    assert "is finalized" in held(proxy_db)[0][0]
    billing.lago.clear_requests()
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.held, len(held(proxy_db))) == (0, 0, 1)
    assert not [path for path in billing.asked() if "past_usage" in path], "nothing changes a final invoice"


def test_a_draft_takes_it(proxy_db: Database, billing: Billing) -> None:
    billing.grace(60)
    billing.subscribe(made=long_ago())
    done = reconcile(environment(proxy_db, billing.lago), since=_rows(proxy_db))
    assert (done.delivered.accepted, done.alarms) == (3, [])
    assert billing.invoiced() == [Decimal("0.5")]


def test_an_invoice_that_is_not_made_yet_takes_it(proxy_db: Database, billing: Billing) -> None:
    billing.lago.set_clock(long_ago())
    billing.subscribe()
    billing.lago.biller(paused=True)
    billing.lago.reset_clock()
    done = reconcile(environment(proxy_db, billing.lago), since=_rows(proxy_db))
    assert (done.delivered.accepted, done.alarms) == (3, [])
    billing.lago.biller(paused=False)
    assert billing.invoiced() == [Decimal("0.5")]


def test_a_subscription_made_later_and_dated_back_has_no_invoice_for_it(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(subscription_at=f"{long_ago():%Y-%m-%dT00:00:00Z}")
    done = reconcile(environment(proxy_db, billing.lago), since=_rows(proxy_db))
    assert (done.delivered.accepted, done.delivered.held) == (2, 1)
    assert f"usage before its subscription was made ({now():%Y-%m-%d}" in held(proxy_db)[0][0]


@pytest.mark.proof
def test_what_no_invoice_would_cover_goes_when_a_subscription_reaches_back(
    proxy_db: Database, billing: Billing
) -> None:
    billing.subscribe()
    environ = environment(proxy_db, billing.lago)
    proxy_db.insert(spend_row())
    assert reconcile(environ, since="2h").delivered.held == 1
    assert held(proxy_db)[0][0].startswith(f"usage before its subscription began ({now():%Y-%m-%d}")
    assert reconcile(environ).delivered.accepted == 0
    billing.end(on_termination_invoice="skip")
    billing.subscribe(made=now() - timedelta(hours=1))
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.held, held(proxy_db)) == (1, 0, [])


def test_what_is_held_is_asked_about_also_where_nothing_is_known_of_its_subscription_any_more(
    proxy_db: Database, billing: Billing
) -> None:
    billing.subscribe()
    environ = environment(proxy_db, billing.lago)
    proxy_db.insert(spend_row())
    assert reconcile(environ, since="2h").delivered.held == 1
    proxy_db.fetch("DELETE FROM reconciler.subscription")
    billing.end(on_termination_invoice="skip")
    billing.subscribe(made=now() - timedelta(hours=1))
    assert (reconcile(environ).delivered.accepted, held(proxy_db)) == (1, [])
