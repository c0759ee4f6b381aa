"""Events in Lago that are not of this ledger are listed apart, and said to be double billing where they are."""

import json
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import CODE, environment, reconcile
from tests.verify.conftest import ONE, code, kinds, leg, post, verify

CALLBACK = {
    "transaction_id": "0b9ae1a0-5f0e-4a8f-9d3c-2f5d3a0b7c11",
    "properties": {
        "model": "gpt-4o-mini",
        "response_cost": 0.25,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 30,
    },
}


def other(properties: dict[str, Any]) -> dict[str, Any]:
    """An event under the name of a meter, as the reconciler makes them."""
    usual = {"customer": "acme", "model": "m", "revision": 0, "response_cost": "0.25", "meter": "default"}
    return {"transaction_id": "r1_" + "0" * 64, "properties": usual | properties}


STRANGERS = {
    "the callback's": (CALLBACK, "LiteLLM's callback"),
    "another meter's": (other({"meter": "teams", "window": "2026-11-24T12:00:00Z/PT15M"}), "another meter"),
    "another ledger's": (other({"window": "2026-11-24T12:00:00Z/PT15M"}), "another ledger of this meter"),
    "another ledger's that makes no sense": (other({"window": "2026-11-24/PT15M"}), "another ledger of this meter"),
    "a person's": ({"transaction_id": "by hand", "properties": {"response_cost": "x"}}, "another producer"),
}


@pytest.mark.proof
def test_strangers(proxy_db: Database, lago: Sandbox) -> None:
    """Each beside a customer of its own whom we bill, and one whom we do not know; Lago adds a property to all."""
    lago.make_metric(CODE, field_name="usd", expression="concat(event.code, ' of USD')")
    environ = environment(proxy_db, lago)
    proxy_db.insert(*(spend_row(end_user=name) for name in STRANGERS))
    reconcile(environ, since="2h")
    events = [json.loads(text) for (text,) in proxy_db.fetch("SELECT payload FROM reconciler.event")]
    for ours in events:
        name = ours["external_subscription_id"]
        stranger, _ = STRANGERS[name]
        place = {"code": ours["code"], "timestamp": ours["timestamp"]}
        for whose in (name, f"{name}, unknown to us"):
            post(lago, "events", {"event": stranger | place | {"external_subscription_id": whose}})
    report = verify(environ)
    found = leg(report, "c")
    said = {(each.customer, each.kind.name, each.kind.drift) for each in found.worst}
    assert said == {(name, f"billed twice, by {who}", True) for name, (_, who) in STRANGERS.items()} | {
        (f"{name}, unknown to us", f"not ours, by {who}", False) for name, (_, who) in STRANGERS.items()
    }
    assert (found.rate, code(report)) == (ONE, 3)

    # Our id under another subscription is a stranger, too.
    post(lago, "events", {"event": events[0] | {"external_subscription_id": "globex"}})
    assert kinds(leg(verify(environ, "2h"), "c"))["not ours, by another ledger of this meter"] == 3


@pytest.mark.proof
def test_our_own_events_that_were_verified_before_are_no_strangers(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(), spend_row(end_user="globex"))
    reconcile(environ, since="2h")
    verify(environ)
    proxy_db.insert(spend_row(spend=1.0))
    reconcile(environ)
    found = leg(verify(environ), "c")
    assert (found.checked, kinds(found)) == ("1 event", {})


def test_what_a_person_gave_up_and_lago_holds(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'discarded'")
    proxy_db.insert(spend_row(end_user="globex"))
    reconcile(environ)
    assert kinds(leg(verify(environ), "c")) == {"in Lago though discarded": 1}
