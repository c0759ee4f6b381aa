"""A ledger that was used is upgraded: no event, state or decision is lost, and what waits is delivered exactly."""

import json
from collections import Counter
from typing import Any

import pytest

from reconciler.ledger.store import open_ledger
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database
from tests.grants import versions
from tests.process import only_object
from tests.support import EVENTS, environment, make_metric, reconcile, states

pytestmark = pytest.mark.no_ledger

OLD = "reconciler.event"

# What is known of an event. Of accepted ones only the last attempt and the last answer of a batch are kept.
KNOWN = """
SELECT meter, window_start, bucket, revision, customer, model, input_tokens, output_tokens, cost, requests,
       subscription, payload, state, held_for, conflict, answer, failure, decided_at, reason, open_since,
       leased_until, rests_until,
       CASE WHEN state <> 'accepted' THEN attempts END, CASE WHEN state <> 'accepted' THEN attempted_at END,
       CASE WHEN state <> 'accepted' THEN answered_at END, attempts > 0, answered_at IS NULL
FROM {} ORDER BY 1, 2, 3, 4
"""

# As delivery relies on them: batches that lack something, or have too much.
UNSOUND = """
SELECT batch.id
FROM reconciler.batch LEFT JOIN reconciler.event ON event.batch = batch.id
GROUP BY batch.id
HAVING count(event.batch) NOT BETWEEN 1 AND 100
    OR batch.events <> count(*)
    OR batch.meter <> min(event.meter) OR batch.meter <> max(event.meter)
    OR (batch.first_window, batch.last_window) <> (min(window_start), max(window_start))
    OR (first_window AT TIME ZONE 'UTC')::date <> (last_window AT TIME ZONE 'UTC')::date
    OR batch.cost <> sum(event.cost) OR batch.requests <> sum(event.requests)
    OR batch.input_tokens <> sum(event.input_tokens) OR batch.output_tokens <> sum(event.output_tokens)
    OR (state <> 'accepted' AND count(*) <> count(DISTINCT (window_start, bucket)))
"""

MANY = """
INSERT INTO reconciler.event (meter, window_start, bucket, revision, customer, model, input_tokens, output_tokens, cost,
                              requests, subscription, payload, state, attempts, attempted_at, answered_at)
SELECT 'default', '2025-01-10T20:00:00Z'::timestamptz + mod(number, 30) * interval '15 minutes', sha256(id::bytea), 0,
       id, 'model', 1, 2, 0.5, 1, id,
       format('{"transaction_id":"r1_%s","external_subscription_id":"%s"}', encode(sha256(id::bytea), 'hex'), id),
       state, attempts, CASE WHEN attempts > 0 THEN now() END, CASE WHEN attempts > 0 THEN now() END
FROM generate_series(1, 250) AS number,
     (VALUES ('accepted', 1), ('planned', 0)) AS kind (state, attempts),
     LATERAL (SELECT state || number AS id) AS named
"""


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter in a used ledger of version 0002, which has come to the present."""
    versions.make(proxy_db, "0002")
    versions.load(proxy_db)
    proxy_db.fetch(
        """UPDATE reconciler.meter
           SET lago = %s, created_at = now(), watermark = date_bin('15 minutes', now(), '2000-01-01Z'),
               source = jsonb_build_object('database', current_database(), 'schema', 'public', 'system_identifier',
                                           (SELECT system_identifier::text FROM pg_control_system()))""",
        lago.url,
    )
    make_metric(lago, "team_tokens")
    return environment(proxy_db, lago)


def upgrade(environ: dict[str, str]) -> None:
    assert open_ledger(load_settings(environ=environ)).upgrade()


def ids(ledger: Database, where: str, events: str = EVENTS) -> list[str]:
    query = f"SELECT payload::json ->> 'transaction_id' FROM {events} WHERE {where}"
    return [id_ for (id_,) in ledger.fetch(query)]


def assert_events_in_every_state(ledger: Database) -> None:
    """So that the tests below show something."""
    found = ledger.fetch(
        """SELECT DISTINCT CASE WHEN conflict THEN 'conflict' WHEN state = 'held' THEN held_for
                                WHEN rests_until IS NOT NULL THEN 'rests' WHEN leased_until IS NOT NULL THEN 'leased'
                                WHEN open_since IS NOT NULL THEN 'open' ELSE state END
           FROM reconciler.event"""
    )
    expected = {
        "accepted",
        "planned",
        "open",
        "leased",
        "rests",
        "quarantined",
        "conflict",
        "closed period",
        "discarded",
    }
    assert {kind for (kind,) in found} == expected
    assert ledger.fetch("SELECT max(revision), count(DISTINCT meter) FROM reconciler.event") == [(2, 2)]
    assert all(ledger.fetch(f"SELECT 1 FROM reconciler.{table}") for table in ("alarm", "look", "run", "lago"))


def test_every_event_keeps_its_payload_its_state_and_what_was_decided(
    proxy_db: Database, environ: dict[str, str]
) -> None:
    """In batches of what Lago takes in one request; and what is not about delivery stays as it is."""
    assert_events_in_every_state(proxy_db)
    proxy_db.fetch(MANY)
    before = proxy_db.fetch(KNOWN.format(OLD))
    beside = {table: rows_of(proxy_db, table) for table in ("meter", "terms", "window", "lago", "look", "run", "alarm")}
    upgrade(environ)
    assert proxy_db.fetch(KNOWN.format(EVENTS)) == before
    assert proxy_db.fetch(UNSOUND) == []
    [(largest, count)] = proxy_db.fetch("SELECT max(events), count(*) FROM reconciler.batch")
    assert largest == 100
    assert count < 40, "alike ones share a batch"

    renamed, gone = {"acknowledged_extent": "least_extent"}, {"kept_cost"}
    for table, rows in beside.items():
        kept = [{renamed.get(name, name): value for name, value in row.items() if name not in gone} for row in rows]
        after = rows_of(proxy_db, table)
        assert [{name: row[name] for name in old} for row, old in zip(after, kept, strict=True)] == kept, table


def rows_of(ledger: Database, table: str) -> list[dict[str, Any]]:
    return [row for (row,) in ledger.fetch(f'SELECT to_jsonb(kept) FROM reconciler."{table}" AS kept ORDER BY 1')]


def test_the_next_pass_delivers_exactly_what_was_planned(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    planned = ids(proxy_db, "state = 'planned'", OLD)
    events = [json.loads(text) for (text,) in proxy_db.fetch(f"SELECT payload FROM {OLD}")]
    payloads = {event["transaction_id"]: event["properties"] for event in events}
    before = dict(proxy_db.fetch(f"SELECT state, count(*) FROM {OLD} GROUP BY 1"))

    done = reconcile(environ)

    assert done.delivered.accepted == len(planned) == 15
    assert Counter(event["transaction_id"] for event in lago.events()) == Counter(planned)
    assert all(event["properties"] == payloads[event["transaction_id"]] for event in lago.events())
    assert states(proxy_db) == {"accepted": before["accepted"] + before["planned"]} | {
        state: before[state] for state in ("quarantined", "held", "discarded")
    }
    assert done.tally.events_planned == 0

    # A bucket's revisions go one after the other.
    sent: dict[tuple[str, str], list[int]] = {}
    for request in lago.requests():
        for id_ in request.get("ids") or []:
            [(customer, window, revision)] = proxy_db.fetch(
                "SELECT customer, window_start::text, revision FROM reconciler.event WHERE payload LIKE %s", f"%{id_}%"
            )
            sent.setdefault((customer, window), []).append(revision)
    assert [0, 1, 2] in sent.values()
    assert all(revisions == sorted(revisions) for revisions in sent.values())


@pytest.mark.proof
def test_quarantined_events_can_be_decided_about(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    reconcile(environ)
    listed: list[dict[str, Any]] = only_object(run(environ, "quarantine", "--json"))["quarantined"]
    [invalid, conflict] = sorted(listed, key=lambda event: bool(event["conflict"]))
    assert "invalid_format" in invalid["answer"]
    assert "conflict: Lago holds another event" in conflict["answer"]
    assert run(environ, "quarantine", "retry", invalid["transaction_id"]).returncode == 0
    assert (
        run(environ, "quarantine", "discard", conflict["transaction_id"], "--reason", "Lago's stands").returncode == 0
    )
    behind = ids(proxy_db, "customer = 'hooli' AND revision > 0")

    assert reconcile(environ).delivered.accepted == 2

    held = {event["transaction_id"] for event in lago.events()}
    assert {invalid["transaction_id"], *behind} <= held
    assert states(proxy_db) == {"accepted": 7 + 15 + 2, "discarded": 2, "held": 2}
