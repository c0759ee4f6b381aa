"""Lago holds another event under an id of ours: it is a conflict, and its bucket sends nothing more."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from reconciler.ledger.batches import Part
from reconciler.ledger.outbox import Outbox
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    EVENTS,
    QUICK,
    assert_exact,
    batches,
    counted,
    environment,
    let_minutes_pass,
    reconcile,
)


def _moment() -> datetime:
    """Within the look-back, in a window that is settled."""
    return datetime.now(UTC) - timedelta(minutes=40)


def _planned_but_not_sent(
    source: Database, environ: dict[str, str], lago: Sandbox, *, tried: bool = False
) -> dict[str, Any]:
    """Let a pass plan an event and ask about its window while Lago refuses all events, and return it.

    With `tried`, nobody knows whether Lago has stored it: so what it holds is no older ledger's doing.
    """
    lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    with pytest.raises(LagoError):
        reconcile(environ, since="5h")
    lago.clear_faults()
    if tried:
        source.fetch("UPDATE reconciler.batch SET open_since = attempted_at")
    [(payload,)] = source.fetch("SELECT payload FROM reconciler.event")
    event: dict[str, Any] = msgspec.json.decode(payload)
    return event


def _post(lago: Sandbox, event: dict[str, Any]) -> None:
    httpx.post(
        f"{lago.url}/api/v1/events",
        json={"event": event},
        headers={"Authorization": f"Bearer {lago.api_key}"},
        trust_env=False,
    ).raise_for_status()


@pytest.mark.proof
def test_another_event_under_our_id_blocks_its_bucket_alone(proxy_db: Database, lago: Sandbox) -> None:
    environ, moment = environment(proxy_db, lago), _moment()
    proxy_db.insert(spend_row(startTime=moment))
    event = _planned_but_not_sent(proxy_db, environ, lago, tried=True)
    _post(lago, event | {"properties": event["properties"] | {"response_cost": "99"}})

    met = reconcile(environ)
    assert (met.delivered.accepted, met.delivered.quarantined, met.exit_code) == (0, 1, 3)
    [alarm] = met.alarms
    assert alarm["kind"] == "conflict"
    assert "Lago holds other events under the ids of 1 of ours" in alarm["message"]
    assert proxy_db.fetch(f"SELECT state, conflict FROM {EVENTS}") == [("quarantined", True)]
    [(answer,)] = proxy_db.fetch(f"SELECT answer FROM {EVENTS}")
    assert "99" in answer

    # A later revision of the bucket is held, another customer's usage in the same window goes on.
    proxy_db.insert(spend_row(startTime=moment, spend=0.5), spend_row(startTime=moment, end_user="globex"))
    later = reconcile(environ)
    assert later.delivered.accepted == 1
    assert sorted(alarm["kind"] for alarm in later.alarms) == ["conflict", "held"]
    assert later.balance is not None
    assert (later.balance.held_events, later.balance.held_cost) == (1, Decimal("0.5"))
    assert {customer: usage.cost for (customer, _), usage in counted(lago).items()} == {
        "acme": Decimal(99),
        "globex": Decimal("0.0000135"),
    }


def test_a_revision_already_planned_is_held_when_an_earlier_one_turns_out_to_be_in_conflict(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ, moment = environment(proxy_db, lago), _moment()
    proxy_db.insert(spend_row(startTime=moment))
    event = _planned_but_not_sent(proxy_db, environ, lago, tried=True)
    proxy_db.insert(spend_row(startTime=moment))
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError):
        reconcile(environ)
    lago.clear_faults()
    _post(lago, event | {"properties": event["properties"] | {"input_tokens": 11}})

    reconcile(environ)

    states = proxy_db.fetch(f"SELECT revision, state, held_for FROM {EVENTS} ORDER BY revision")
    assert states == [(0, "quarantined", None), (1, "held", "conflict")]
    assert len(lago.events()) == 1


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
def test_a_revision_on_its_way_when_its_bucket_is_held_is_accepted_if_lago_took_it_and_else_held(
    taken: bool, proxy_db: Database, lago: Sandbox
) -> None:
    environ, moment = environment(proxy_db, lago), _moment()
    proxy_db.insert(spend_row(startTime=moment))
    _planned_but_not_sent(proxy_db, environ, lago)
    proxy_db.insert(spend_row(startTime=moment))
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError):
        reconcile(environ)
    proxy_db.fetch('UPDATE reconciler."window" SET asked_at = now()')
    proxy_db.fetch("UPDATE reconciler.batch SET asked_at = now(), admitted_at = now()")
    outbox = Outbox("default", lago.url, open_ledger(load_settings(environ=environ)), QUICK)
    # A bucket's revisions go one after the other.
    first = outbox.take()
    assert first is not None
    assert outbox.take() is None
    assert outbox.split(first, [Part([0], "quarantined", answer="422")])
    second = outbox.take()
    assert second is not None
    assert [batch.payloads[0]["properties"]["revision"] for batch in (first, second)] == [0, 1]

    # The first is tried again while the second is on its way.
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'planned' WHERE id = %s", first.id)
    first = outbox.take()
    assert first is not None
    assert outbox.split(first, [Part([0], "quarantined", conflict=True, answer="conflict")])
    if taken:
        assert outbox.accept(second)
    else:
        outbox.give_back(second, "503")
        lago.clear_faults()
        proxy_db.insert(spend_row(end_user="globex"))
        reconcile(environ)
    states = f"SELECT state, held_for FROM {EVENTS} WHERE customer = 'acme' ORDER BY revision"
    assert proxy_db.fetch(states) == [("quarantined", None), ("accepted", None) if taken else ("held", "conflict")]
    assert len(lago.events()) == (0 if taken else 1), "another customer's alone"


@pytest.mark.proof
def test_an_equal_event_under_our_id_is_taken_as_accepted(proxy_db: Database, lago: Sandbox) -> None:
    """Also where it writes numbers as text, and text as numbers."""
    numbers = {"response_cost": 0.0000135, "requests": "1"}
    environ, moment = environment(proxy_db, lago), _moment()
    proxy_db.insert(spend_row(startTime=moment))
    event = _planned_but_not_sent(proxy_db, environ, lago)
    _post(lago, event | {"properties": event["properties"] | numbers})

    met = reconcile(environ)
    assert (met.delivered.accepted, met.delivered.quarantined, met.alarms) == (1, 0, [])
    assert_exact(proxy_db, lago)
    # The bucket goes on.
    proxy_db.insert(spend_row(startTime=moment))
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, lago)


@pytest.mark.proof
@pytest.mark.parametrize("stored", [True, False])
def test_another_event_that_is_found_on_reading_back_is_a_conflict(stored: bool, proxy_db: Database) -> None:
    """Without deduplication each copy counts, so that an equal one beside it settles nothing."""
    with Sandbox(store="clickhouse", deduplication=False) as lago:
        environ = environment(proxy_db, lago)
        proxy_db.insert(spend_row())
        lago.faults({"kind": "status", "status": 500, "commit": stored, "path": BATCH})
        with pytest.raises(LagoError):
            reconcile(environ, since="2h")
        [(payload,)] = proxy_db.fetch("SELECT payload FROM reconciler.event")
        event: dict[str, Any] = msgspec.json.decode(payload)
        _post(lago, event | {"properties": event["properties"] | {"response_cost": "99"}})
        let_minutes_pass(proxy_db)
        met = reconcile(environ)
        assert (met.delivered.accepted, met.delivered.quarantined, met.exit_code) == (0, 1, 3)
        assert [alarm["kind"] for alarm in met.alarms] == ["conflict"]
        [(answer,)] = proxy_db.fetch(f"SELECT answer FROM {EVENTS}")
        assert "99" in answer

        # Here a repetition would count besides the other event: as long as that is there, a retry sends nothing.
        sent = len(batches(lago))
        assert run(environ, "quarantine", "retry", "--all").returncode == 0
        let_minutes_pass(proxy_db)
        assert (reconcile(environ).delivered.quarantined, len(batches(lago))) == (1, sent)
