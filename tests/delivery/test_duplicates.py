"""A duplicate is a question: Lago is asked what it holds under the id, and the two are compared value by value."""

import json
from typing import Any

import httpx
import pytest

from reconciler.lago.readback import differences
from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import BATCH, CODE, assert_exact, backlog, compute_cost, customers, environment, reconcile

OURS: dict[str, Any] = {
    "transaction_id": "r1_a",
    "external_subscription_id": "acme",
    "code": "llm",
    "timestamp": "1795436099.999",
    "precise_total_amount_cents": "0.03735",
    "properties": {"input_tokens": 1250, "response_cost": "0.0003735", "model": "gpt", "customer": "a"},
}
HELD: dict[str, Any] = OURS | {
    "lago_id": "x",
    "timestamp": "2026-11-23T12:14:59.999Z",
    "precise_total_amount_cents": "0.03735",
    "created_at": "2026-11-23T12:20:00Z",
}


def held(**changes: Any) -> dict[str, Any]:
    return HELD | changes


def with_property(**changes: Any) -> dict[str, Any]:
    return HELD | {"properties": OURS["properties"] | changes}


EQUAL = {
    "as it is": HELD,
    "with more zeros": with_property(response_cost="0.00037350"),
    "with numbers for text": with_property(input_tokens="1250"),
    "with an exponent": with_property(response_cost=3.735e-4),
    "with further properties": with_property(added="by Lago"),
    "with zeros in its cents": held(precise_total_amount_cents="0.037350"),
    "with another zone": held(timestamp="2026-11-23T13:14:59.999+01:00"),
}
DIFFERENT = {
    "cost": (with_property(response_cost="0.0003736"), "properties.response_cost"),
    "a missing property": (held(properties={}), "properties.model"),
    "a true for a one": (with_property(input_tokens=True), "properties.input_tokens"),
    "subscription": (held(external_subscription_id="globex"), "external_subscription_id"),
    "code": (held(code="other"), "code"),
    "a millisecond": (held(timestamp="2026-11-23T12:14:59.998Z"), "timestamp"),
    "a time without a zone": (held(timestamp="2026-11-23T12:14:59.999"), "timestamp"),
    "cents": (held(precise_total_amount_cents=None), "precise_total_amount_cents"),
}


@pytest.mark.parametrize("theirs", EQUAL.values(), ids=EQUAL)
def test_the_same_event_is_equal(theirs: dict[str, Any]) -> None:
    assert differences(OURS, theirs) == []


@pytest.mark.parametrize(("theirs", "place"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_event_differs(theirs: dict[str, Any], place: str) -> None:
    assert place in differences(OURS, theirs)


@pytest.mark.parametrize(
    ("cents", "shown"),
    [
        ("0.0012345678901234567", "0.001234567890123"),
        ("0.0034499999999999996", "0.00345"),
        ("0.0000000000000005", "0.000000000000001"),
        ("0.0000000000000001", "0.0"),
        ("1234567890123456789012345.1", "1234567890123456789012345.1"),
    ],
)
def test_cents_are_equal_to_what_lago_s_column_of_15_places_keeps_of_them(cents: str, shown: str) -> None:
    ours = OURS | {"precise_total_amount_cents": cents}
    assert differences(ours, held(precise_total_amount_cents=shown)) == []
    assert differences(ours, held(precise_total_amount_cents=f"1{shown}")) == ["precise_total_amount_cents"]


@pytest.mark.parametrize("spend", [1.2345678901234567e-05, 3.4499999999999996e-05, 5e-18, 0.25])
def test_a_duplicate_whose_cents_lago_rounded_is_equal(spend: float, proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_PRECISE_CENTS="true")
    proxy_db.insert(spend_row(spend=spend))
    lago.faults({"kind": "commit_then_500", "path": BATCH})
    done = reconcile(environ, since="2h")
    assert (done.delivered.accepted, done.alarms) == (1, [])
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


def _planned_again(database: Database) -> None:
    database.fetch("UPDATE reconciler.event SET state = 'planned', answered_at = NULL")


def test_a_whole_batch_of_duplicates_takes_few_questions(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 100)
    reconcile(environ, since="2h")
    _planned_again(proxy_db)
    lago.clear_requests()

    assert reconcile(environ).delivered.accepted == 100

    assert_exact(proxy_db, lago)
    asked = [request["path"].partition("?")[0] for request in lago.requests() if request["method"] == "GET"]
    assert asked.count("/api/v1/events") == 1
    assert len(asked) <= 15, "subscriptions are asked for one by one only at first"


def test_an_event_at_another_time_under_our_id_is_a_conflict(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    proxy_db.fetch(
        """UPDATE reconciler.event SET state = 'planned',
           payload = regexp_replace(payload, '"timestamp":"[0-9]+', '"timestamp":"1700000000')"""
    )
    done = reconcile(environ)
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]


def test_an_id_that_lago_holds_elsewhere_for_us_and_for_another_subscription_is_a_conflict(
    proxy_db: Database, lago: Sandbox
) -> None:
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
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]
    assert proxy_db.fetch("SELECT state, conflict FROM reconciler.event") == [("quarantined", True)]


def test_an_event_that_was_deleted_in_lago_is_quarantined_as_gone(proxy_db: Database, lago: Sandbox) -> None:
    """Lago deletes a metric's events with it, and their ids stay taken."""
    environ = environment(proxy_db, lago)
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    metric = {"name": "Tokens", "code": CODE, "aggregation_type": "count_agg"}
    httpx.post(
        f"{lago.url}/api/v1/billable_metrics", headers=headers, json={"billable_metric": metric}
    ).raise_for_status()
    proxy_db.insert(spend_row(end_user="deleted"))
    lago.faults({"kind": "commit_then_500", "path": BATCH, "count": None})
    with pytest.raises(LagoError, match="500"):
        reconcile(environ, since="2h")
    lago.clear_faults()
    httpx.delete(f"{lago.url}/api/v1/billable_metrics/{CODE}", headers=headers).raise_for_status()
    assert lago.events() == []

    proxy_db.insert(spend_row(end_user="new"))
    done = reconcile(environ)

    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 1, 1)
    assert [alarm["kind"] for alarm in done.alarms] == ["quarantined"]
    [(customer, answer, conflict)] = proxy_db.fetch(
        "SELECT customer, answer, conflict FROM reconciler.event WHERE state = 'quarantined'"
    )
    assert (customer, conflict) == ("deleted", False)
    assert answer == "422 value_already_exist, yet Lago shows no such event (deleted there?)"
    assert_exact(proxy_db, lago, where="end_user = 'new'", undelivered=1)


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
    _planned_again(proxy_db)
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
    done = reconcile(environ)
    assert (done.exit_code, done.delivered.accepted) == (3, 0)
    assert [alarm["kind"] for alarm in done.alarms] == ["conflict"]
