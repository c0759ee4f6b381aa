"""A duplicate is a question: Lago is asked what it holds under the id, and the two are compared value by value."""

import json

import httpx
import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    CODE,
    EVENTS,
    assert_exact,
    backlog,
    compute_cost,
    customers,
    environment,
    let_minutes_pass,
    plan_again,
    reconcile,
)


def test_a_duplicate_whose_cents_lago_rounded_is_equal(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_PRECISE_CENTS="true")
    costs = [1.2345678901234567e-05, 3.4499999999999996e-05, 5e-18, 0.25]
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", spend=cost) for number, cost in enumerate(costs)))
    lago.faults({"kind": "commit_then_500", "path": BATCH})
    done = reconcile(environ, since="2h")
    assert (done.delivered.accepted, done.alarms) == (4, [])
    assert [request["status"] for request in lago.requests() if request["path"] == BATCH] == [500, 422]
    assert_exact(proxy_db, lago)


def test_a_duplicate_with_a_property_that_lago_computes_is_equal(proxy_db: Database, lago: Sandbox) -> None:
    compute_cost(lago)
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=0.123))
    lago.faults({"kind": "commit_then_500", "path": BATCH})
    done = reconcile(environ, since="2h")
    assert (done.delivered.accepted, done.alarms) == (1, [])
    [event] = lago.events()
    assert event["properties"]["response_cost"] == "0.12"


def test_a_whole_batch_of_duplicates_takes_few_questions(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 100)
    reconcile(environ, since="2h")
    plan_again(proxy_db)
    lago.clear_requests()

    assert reconcile(environ).delivered.accepted == 100

    assert_exact(proxy_db, lago)
    asked = [request["path"].partition("?")[0] for request in lago.requests() if request["method"] == "GET"]
    assert asked.count("/api/v1/events") == 1
    assert len(asked) <= 15


def test_an_event_at_another_time_under_our_id_is_a_conflict(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    proxy_db.fetch(
        """UPDATE reconciler.event
           SET payload = regexp_replace(payload, '"timestamp":"[0-9]+', '"timestamp":"1700000000')"""
    )
    plan_again(proxy_db)
    done = reconcile(environ)
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]


def test_an_id_of_this_meter_that_lago_holds_elsewhere_stops_the_meter(proxy_db: Database, lago: Sandbox) -> None:
    """Lago shows one event of an id, and here it is the other subscription's; ours is there all the same."""
    environ = backlog(proxy_db, lago, 1)
    [(payload,)] = proxy_db.fetch("SELECT payload::json FROM reconciler.event")
    for subscription in ("globex", payload["external_subscription_id"]):
        httpx.post(
            f"{lago.url}/api/v1/events",
            headers={"Authorization": f"Bearer {lago.api_key}"},
            json={"event": payload | {"external_subscription_id": subscription, "timestamp": "1700000000"}},
        ).raise_for_status()
    done = reconcile(environ)
    assert [alarm["kind"] for alarm in done.alarms] == ["foreign"]
    assert proxy_db.fetch(f"SELECT state, conflict, open_since FROM {EVENTS}") == [("planned", False, None)]


def test_an_event_that_was_deleted_in_lago_is_quarantined_as_gone(proxy_db: Database, lago: Sandbox) -> None:
    """Lagos before August 2026 delete a metric's events with it, and their ids stay taken."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(end_user="deleted"))
    lago.faults({"kind": "commit_then_500", "path": BATCH, "count": None})
    with pytest.raises(LagoError, match="500"):
        reconcile(environ, since="2h")
    lago.clear_faults()
    assert lago.forget(CODE) == 1

    proxy_db.insert(spend_row(end_user="new"))
    let_minutes_pass(proxy_db)
    done = reconcile(environ)

    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 1, 1)
    assert [alarm["kind"] for alarm in done.alarms] == ["quarantined"]
    [(customer, answer, conflict)] = proxy_db.fetch(
        f"SELECT customer, answer, conflict FROM {EVENTS} WHERE state = 'quarantined'"
    )
    assert (customer, conflict) == ("deleted", False)
    assert answer == "422 value_already_exist, yet Lago shows no such event (deleted there?)"


def test_the_same_id_under_another_subscription_is_not_ours(proxy_db: Database, lago: Sandbox) -> None:
    """Lago looks an id up whichever its subscription; the event that counts is the one under ours."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    [event] = lago.events()
    other = {name: event[name] for name in ("transaction_id", "code", "properties")}
    httpx.post(
        f"{lago.url}/api/v1/events",
        headers={"Authorization": f"Bearer {lago.api_key}"},
        json={"event": other | {"external_subscription_id": "aaa", "timestamp": "1795436099.999"}},
    ).raise_for_status()
    plan_again(proxy_db)
    assert reconcile(environ).delivered.accepted == 1


def test_of_one_id_under_two_subscriptions_the_one_under_ours_is_compared(proxy_db: Database, lago: Sandbox) -> None:
    """Lago holds ours at another time, so that it is looked for by its id alone."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    lago.faults({"kind": "status", "path": BATCH, "count": None})
    with pytest.raises(LagoError, match="500"):
        reconcile(environ, since="2h")
    lago.clear_faults()
    [(payload,)] = proxy_db.fetch("SELECT payload FROM reconciler.event")
    held = {**json.loads(payload), "timestamp": "1700000000"}
    for subscription in ("acme", "other"):
        httpx.post(
            f"{lago.url}/api/v1/events",
            headers={"Authorization": f"Bearer {lago.api_key}"},
            json={"event": held | {"external_subscription_id": subscription}},
        ).raise_for_status()
    let_minutes_pass(proxy_db)
    done = reconcile(environ)
    assert (done.exit_code, done.delivered.accepted) == (3, 0)
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]
