"""Replies that never came, or said nothing: the same bytes go again, and Lago has each event once."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.crash.wire import recorded
from tests.support import BATCH, EVENTS, QUICK, assert_exact, customers, environment, plan_again, reconcile

LOST = {
    "stored, then no answer": {"kind": "commit_then_drop"},
    "stored, then 500": {"kind": "commit_then_500"},
    "stored, half an answer": {"kind": "truncate"},
    "stored, a gateway's page": {"kind": "html", "commit": True},
    "not stored, no answer": {"kind": "drop"},
    "not stored, 500": {"kind": "status", "status": 500},
    "not stored, 429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "0.1"}},
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_the_same_bytes_go_again_until_lago_has_each_event_once(
    fault: dict[str, Any], proxy_db: Database, lago: Sandbox
) -> None:
    customers(proxy_db, 12)
    lago.faults({**fault, "path": BATCH})

    with recorded() as sent:
        summary = reconcile(environment(proxy_db, lago), since="2h")

    assert summary.exit_code == 0
    assert summary.delivered.accepted == 12
    assert_exact(proxy_db, lago)
    payloads = dict(proxy_db.fetch("SELECT payload::json ->> 'transaction_id', payload FROM reconciler.event"))
    assert {id_: set(bodies) for id_, bodies in sent.items()} == {
        id_: {payload.encode()} for id_, payload in payloads.items()
    }
    [unanswered] = [request["ids"] for request in lago.requests() if request["fault"]]
    assert {id_ for id_, bodies in sent.items() if len(bodies) > 1} == set(unanswered)


def test_a_batch_stored_in_part_by_an_earlier_answer_is_completed(proxy_db: Database, lago: Sandbox) -> None:
    """Some events of the batch are in Lago already, as a sender left them that was killed before it recorded that."""
    environ = environment(proxy_db, lago)
    customers(proxy_db, 6)
    reconcile(environ, since="2h")
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", model="gpt-4o") for number in range(6)))
    plan_again(proxy_db)

    summary = reconcile(environ)

    assert summary.delivered.accepted == 12
    assert_exact(proxy_db, lago)


def test_a_lago_that_hangs_after_it_stored_the_batch_is_asked_again(proxy_db: Database, lago: Sandbox) -> None:
    customers(proxy_db, 5)
    lago.faults({"kind": "hang", "commit": True, "path": BATCH})

    summary = reconcile(environment(proxy_db, lago), since="2h", limits=replace(QUICK, request=0.5))

    assert summary.exit_code == 0
    assert_exact(proxy_db, lago)
    [hung] = [request["ids"] for request in lago.requests() if request["fault"]]
    assert [request["status"] for request in lago.requests() if request["ids"] == hung] == [None, 422]


def test_a_duplicate_whose_content_differs_is_a_conflict_and_is_not_taken_for_an_answer(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(end_user="acme"), spend_row(end_user="globex"))
    reconcile(environ, since="2h")
    # The ledger's event of acme now says something else than the one that Lago took.
    proxy_db.fetch(
        """UPDATE reconciler.event SET payload = replace(payload, '"response_cost":"', '"response_cost":"1')
           WHERE customer = 'acme'"""
    )
    plan_again(proxy_db)

    summary = reconcile(environ)

    assert summary.exit_code == 3
    assert [alarm["kind"] for alarm in summary.alarms] == ["conflict"]
    states = dict(proxy_db.fetch(f"SELECT customer, state FROM {EVENTS}"))
    assert states == {"acme": "quarantined", "globex": "accepted"}
    assert len(lago.events()) == 2
