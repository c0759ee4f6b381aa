"""An event is called poison only on evidence: it fails alone, again and again, while Lago takes others."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from reconciler.delivery import dispatch
from reconciler.delivery.deliver import Delivery
from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    LAGOS_400,
    assert_exact,
    batches,
    customers,
    environment,
    let_minutes_pass,
    reconcile,
    reconcile_while_undecided,
    states,
)

ODD_422 = '{"status": 422, "error": "Unprocessable Entity", "code": "something_new", "error_details": "?"}'


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "Delivery", partial(Delivery, senders=2, batch=10))


@pytest.mark.parametrize(("status", "body"), [(400, LAGOS_400), (422, ODD_422), (413, "<html>too large</html>")])
def test_a_lago_that_refuses_whatever_it_is_sent_empties_nothing_into_quarantine(
    status: int, body: str, proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 30)
    lago.faults({"kind": "status", "status": status, "body": body, "count": None, "path": BATCH})
    with pytest.raises(LagoError, match=f"whatever it is sent, it answers {status}.*All events stay planned"):
        reconcile(environment(proxy_db, lago), since="2h")
    assert states(proxy_db) == {"planned": 30}
    assert len(batches(lago)) < 30, "it gives up soon"
    lago.clear_faults()
    assert reconcile(environment(proxy_db, lago)).delivered.accepted == 30
    assert_exact(proxy_db, lago)


def test_a_lago_that_begins_to_refuse_everything_in_the_middle_of_a_batch_empties_nothing_into_quarantine(
    proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 40)
    refusal: dict[str, Any] = {"kind": "status", "status": 400, "body": LAGOS_400, "path": BATCH}
    taken = {"kind": "slow", "seconds": 0, "path": BATCH}
    lago.faults(refusal, taken, {**refusal, "count": None})  # its first half is taken, and then nothing
    with pytest.raises(LagoError, match="whatever it is sent"):
        reconcile(environment(proxy_db, lago), since="2h")
    assert states(proxy_db) == {"accepted": 20, "planned": 20}


@pytest.mark.parametrize("status", [400, 413, 403])
def test_one_event_that_lago_or_a_firewall_refuses_is_quarantined(
    status: int, proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 30)
    body = LAGOS_400 if status == 400 else "<html>Blocked</html>"
    fault = {"kind": "status", "status": status, "body": body, "count": None, "path": BATCH}
    lago.faults({**fault, "external_subscription_id": "customer 7"})
    reconcile_while_undecided(environment(proxy_db, lago), proxy_db, since="2h")
    assert set(states(proxy_db)) == {"accepted", "quarantined"}
    [(customer, answer)] = proxy_db.fetch("SELECT customer, answer FROM reconciler.event WHERE state = 'quarantined'")
    assert customer == "customer 7"
    assert str(status) in answer


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(("status", "odds"), [(503, 0.8), (500, 0.5)])
def test_a_lago_that_fails_more_often_than_not_makes_no_event_poison(
    status: int, odds: float, proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 40)
    environ = environment(proxy_db, lago)
    lago.faults({"kind": "status", "status": status, "probability": odds, "seed": 4, "path": BATCH})
    for number in range(4):
        with suppress(LagoError):
            reconcile(environ, since=None if number else "2h")
        assert "quarantined" not in states(proxy_db)
        let_minutes_pass(proxy_db)
    lago.clear_faults()
    reconcile(environ)
    assert states(proxy_db) == {"accepted": 40}
    assert_exact(proxy_db, lago)


def test_what_a_gateway_can_not_get_through_rests_and_is_quarantined_after_many_times(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 4)
    fault = {"kind": "html", "status": 502, "count": None, "path": BATCH, "external_subscription_id": "customer 3"}
    lago.faults(fault)
    reconcile(environ, since="2h")
    lago.clear_requests()
    reconcile(environ)
    assert not batches(lago), "it rests"
    proxy_db.fetch("UPDATE reconciler.event SET suspected = 8 WHERE suspected = 1")  # as after seven more times
    for number in range(2):
        assert "quarantined" not in states(proxy_db)
        let_minutes_pass(proxy_db)
        proxy_db.insert(spend_row(end_user=f"another {number}"))
        reconcile(environ)
    assert states(proxy_db) == {"accepted": 5, "quarantined": 1}
    assert proxy_db.fetch("SELECT suspected, answer FROM reconciler.event WHERE state = 'quarantined'") == [
        (9, "it answers 502 each time, while Lago takes other events")
    ]


def test_an_event_that_lago_never_answers_keeps_nothing_else_of_its_batch_from_lago(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.lago.client.REQUEST_SECONDS", 0.2)
    environ = environment(proxy_db, lago)
    customers(proxy_db, 8)
    lago.faults({"kind": "hang", "seconds": 5, "count": None, "path": BATCH, "external_subscription_id": "customer 3"})
    with pytest.raises(LagoError, match="no answer"):
        reconcile(environ, since="2h")
    assert states(proxy_db) == {"planned": 8}
    for _ in range(8):
        let_minutes_pass(proxy_db)
        with suppress(LagoError):
            reconcile(environ)
    assert states(proxy_db) == {"accepted": 7, "planned": 1}


@pytest.mark.usefixtures("small_batches")
def test_without_deduplication_one_failure_does_not_end_the_pass(proxy_db: Database) -> None:
    with Sandbox(store="clickhouse", deduplication=False) as lago:
        customers(proxy_db, 60)
        lago.faults({"kind": "status", "status": 500, "path": BATCH})
        assert reconcile(environment(proxy_db, lago), since="2h").delivered.accepted == 50
        assert states(proxy_db) == {"accepted": 50, "planned": 10}
        let_minutes_pass(proxy_db)
        assert reconcile(environment(proxy_db, lago)).delivered.accepted == 10
        assert_exact(proxy_db, lago)


@pytest.mark.usefixtures("small_batches")
def test_without_deduplication_a_lago_that_fails_in_a_row_ends_the_pass(proxy_db: Database) -> None:
    with Sandbox(store="clickhouse", deduplication=False) as lago:
        customers(proxy_db, 100)
        lago.faults({"kind": "status", "status": 500, "count": None, "path": BATCH})
        with pytest.raises(LagoError, match=r"it answers 500.*stay planned"):
            reconcile(environment(proxy_db, lago), since="2h")
        assert len(batches(lago)) <= 6, "it gives up soon"
        assert states(proxy_db) == {"planned": 100}


@pytest.mark.parametrize("status", [401, 404, 302])
def test_a_gateway_that_refuses_one_event_stops_no_other(status: int, proxy_db: Database, lago: Sandbox) -> None:
    customers(proxy_db, 20)
    lago.faults(
        {"kind": "html", "status": status, "count": None, "path": BATCH, "external_subscription_id": "customer 7"}
    )
    reconcile_while_undecided(environment(proxy_db, lago), proxy_db, since="2h")
    assert proxy_db.fetch("SELECT customer FROM reconciler.event WHERE state = 'quarantined'") == [("customer 7",)]


@pytest.mark.parametrize("status", [403, 502])
def test_a_gateway_that_dislikes_a_name_in_an_address_stops_no_other(
    status: int, proxy_db: Database, lago: Sandbox
) -> None:
    old = datetime.now(UTC) - timedelta(minutes=70)
    proxy_db.insert(*(spend_row(end_user=name, startTime=old) for name in ("<script>", "acme", "globex")))
    lago.faults({"kind": "html", "status": status, "count": None, "path": "/api/v1/subscriptions/*script*"})
    assert reconcile(environment(proxy_db, lago), since="2h").delivered.accepted == 2
    assert proxy_db.fetch("SELECT customer, attempts FROM reconciler.event WHERE state = 'planned'") == [
        ("<script>", 0)
    ]
    assert proxy_db.fetch("SELECT away_since FROM reconciler.lago") == [(None,)]


def test_a_healthy_event_whose_tries_all_fell_into_an_outage_goes_once_more(proxy_db: Database, lago: Sandbox) -> None:
    customers(proxy_db, 2)
    lago.faults({"kind": "status", "count": 7, "path": BATCH})
    reconcile_while_undecided(environment(proxy_db, lago), proxy_db, since="2h")
    assert set(states(proxy_db)) == {"accepted"}
    assert_exact(proxy_db, lago)


def test_more_poison_than_a_batch_holds_keeps_nothing_new_from_a_lago_that_was_away(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    start = datetime.now(UTC) - timedelta(minutes=50)
    proxy_db.insert(*(spend_row(end_user="arsenic", model=f"{n}", startTime=start) for n in range(110)))
    lago.faults({"kind": "status", "count": None, "path": BATCH, "external_subscription_id": "arsenic"})
    for number in range(3):
        proxy_db.insert(spend_row(end_user=f"customer {number}"))
        with suppress(LagoError):
            reconcile(environ, since=None if number else "2h")
        let_minutes_pass(proxy_db)
    waiting = proxy_db.fetch("SELECT DISTINCT customer FROM reconciler.event WHERE state = 'planned'")
    assert waiting == [("arsenic",)]
