"""What Lago is asked for: each subscription once while its span lasts, many by one list; and who can't be asked for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from reconciler.delivery.mirror import Mirror
from reconciler.lago.client import Lago
from reconciler.ledger import meters
from reconciler.ledger.store import open_ledger
from reconciler.settings.load import load_settings
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, Settled, last_period, long_ago, now, planned
from tests.support import environment, reconcile


def _subscriptions(billing: Billing) -> list[str]:
    return [path.removeprefix("/api/v1/") for path in billing.asked() if "/subscriptions" in path]


def test_a_subscription_is_asked_for_once_while_its_period_lasts(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago)
    proxy_db.insert(spend_row())
    billing.lago.clear_requests()
    reconcile(environ, since="2h")
    assert _subscriptions(billing) == ["subscriptions/acme"]
    proxy_db.insert(spend_row())
    billing.lago.clear_requests()
    assert reconcile(environ).delivered.accepted == 1
    assert _subscriptions(billing) == []


def test_many_are_listed_once(proxy_db: Database, billing: Billing) -> None:
    begin = f"{long_ago():%Y-%m-%d}"
    for number in range(11):
        made = long_ago() if number == 0 else None
        billing.subscribe(f"customer {number}", made=made, subscription_at=begin)
        proxy_db.insert(spend_row(end_user=f"customer {number}"))
    billing.lago.clear_requests()
    assert reconcile(environment(proxy_db, billing.lago), since="2h").delivered.accepted == 11
    assert [path.partition("?")[0] for path in _subscriptions(billing)] == ["subscriptions"]


def test_more_invoices_than_a_page_since_the_last_pass_make_all_be_asked_for_again(
    proxy_db: Database, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.delivery.mirror._INVOICES", 1)
    environ = environment(proxy_db, billing.lago)
    for name in ("acme", "other"):
        billing.subscribe(name, made=long_ago())
        proxy_db.insert(spend_row(end_user=name))
    assert reconcile(environ, since="2h").delivered.accepted == 2
    for name in ("acme", "other"):
        billing.subscribe(name, plan="better")
        proxy_db.insert(spend_row(end_user=name))
    assert reconcile(environ).delivered.held == 2


@pytest.mark.proof
def test_passes_that_learn_of_the_same_names_at_once_do_not_lock_each_other_out(
    proxy_db: Database, billing: Billing
) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    settings = load_settings(environ=environ)
    names = [f"nobody {number}" for number in range(500)]

    def learn(order: Sequence[str]) -> None:
        with (
            closing(open_ledger(settings)) as ledger,
            closing(Lago.of(settings)) as lago,
        ):
            with ledger.transaction() as connection:
                meter = meters.load(connection, "default")
                assert meter
                mirror = Mirror(meter, ledger, lago, "", now())
                mirror.begin(connection)
            mirror.forget_ended()
            for _ in range(5):
                mirror._keep({name: [] for name in order})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(learn, (names, names[::-1])))
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.subscription WHERE external_id <> 'acme'") == [(500,)]


def test_one_that_ended_is_found_among_many(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe("ended", made=long_ago())
    proxy_db.insert(spend_row(end_user="ended"), *(spend_row(end_user=f"nobody {number}") for number in range(11)))
    billing.end("ended")
    done = reconcile(environment(proxy_db, billing.lago), since="2h")
    assert (done.delivered.accepted, done.delivered.held) == (11, 1)


def test_a_name_that_cant_be_asked_for_waits_alone(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(), spend_row(end_user="strange"), spend_row(startTime=last_period(), spend=0.5))
    billing.lago.faults(
        {"kind": "html", "status": 404, "count": None, "method": "GET", "path": "/api/v1/subscriptions/strange"}
    )
    done = reconcile(environment(proxy_db, billing.lago), since=f"{last_period():%Y-%m-%d}")
    assert (done.delivered.accepted, done.delivered.held) == (1, 1)
    [(customer, state)] = proxy_db.fetch(
        """SELECT customer, state FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
           WHERE state = 'planned'"""
    )
    assert (customer, state) == ("strange", "planned")
    billing.lago.clear_faults()
    assert reconcile(environment(proxy_db, billing.lago)).delivered.accepted == 1


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("subscription", "The API key may not read Lago's subscriptions"),
        ("invoice", "The API key may not read Lago's invoices"),
        ("customer_usage", "The API key may not read Lago's customer usages"),
    ],
)
def test_where_the_key_may_not_read_it_usage_goes_on(
    proxy_db: Database, billing: Billing, resource: str, words: str
) -> None:
    billing.subscribe(made=long_ago())
    proxy_db.insert(spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5))
    environ = planned(proxy_db, billing.lago, since=f"{last_period():%Y-%m-%d}")
    barred: dict[str, Any] = {resource: []}
    billing.lago.permissions(**barred)
    settled = Settled(environ)
    assert (settled.held, settled.kept_back) == (0, [])
    assert settled.warnings
    assert all(each.startswith(words) for each in settled.warnings)
    assert f"the permission to read {resource}" in settled.warnings[-1]
