"""A meter knows what it was billed with: other settings are refused before harm, with the choices. Invariant 10."""

from typing import Any

import pytest

from reconciler.model.errors import MeterChangedError
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import sentences
from tests.support import assert_exact, counted, environment, reconcile, window


def _state(ledger: Database) -> list[tuple[Any, ...]]:
    return [
        *ledger.fetch("SELECT count(*), max(window_start) FROM reconciler.event"),
        *ledger.fetch("SELECT start, watermark, source::text, lago FROM reconciler.meter"),
        *ledger.fetch("SELECT count(*) FROM reconciler.terms"),
        *ledger.fetch("SELECT count(*) FROM reconciler.run WHERE outcome NOT LIKE 'failed: %'"),
    ]


CHANGED = [
    ("RECONCILE_MODEL_COLUMN", "model_group", "RECONCILE_MODEL_COLUMN was model, now model_group"),
    ("RECONCILE_CACHE_HITS", "false", "RECONCILE_CACHE_HITS was True, now False"),
    ("RECONCILE_WINDOW", "1h", "RECONCILE_WINDOW (seconds) was 900, now 3600"),
    ("RECONCILE_EXCLUDE", "team:internal", "RECONCILE_EXCLUDE was nothing, now team:internal"),
    ("LAGO_API_CHARGE_BY", "team_id", "LAGO_API_CHARGE_BY was end_user_id, now team_id"),
    ("LAGO_API_EVENT_CODE", "llm_tokens", "LAGO_API_EVENT_CODE was openai_tokens, now llm_tokens"),
]


@pytest.mark.proof
def test_other_terms_are_refused_with_the_choices(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(3)))
    reconcile(environ, since="1d")
    proxy_db.insert(spend_row(startTime=window(3)), spend_row(startTime=window(2)))
    before = _state(proxy_db)

    for variable, value, said in CHANGED:
        with pytest.raises(MeterChangedError) as refused:
            reconcile(environ | {variable: value})
        sentence = str(refused.value)
        assert f"Meter 'default' was billed with other settings: {said}. Nothing was done." in sentence
        assert "set it back" in sentence
        assert "run `reconcile --adopt` once" in sentence
        assert "RECONCILE_METER" in sentence
        assert refused.value.exit_code == 1
    assert _state(proxy_db) == before
    assert len(lago.events()) == 1

    reconcile(environ)
    assert_exact(proxy_db, lago)


def test_another_lago_is_refused(proxy_db: Database, lago: Sandbox, other_lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=window(3)))
    reconcile(environment(proxy_db, lago), since="1d")
    proxy_db.insert(spend_row(startTime=window(2)))

    environ = environment(proxy_db, other_lago)
    other_lago.clear_requests()

    refused = run(environ)

    assert refused.returncode == 1
    [sentence] = sentences(refused)
    assert f"LAGO_API_BASE was {lago.url}, now {other_lago.url}" in sentence
    assert "give it its own RECONCILE_METER" in sentence
    assert "if the same database or the same Lago has moved, run `reconcile --adopt` once" in sentence
    assert other_lago.requests() == []


def test_another_database_is_refused_by_the_same_ledger(
    proxy_db: Database, other_proxy: Database, ledger: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row(startTime=window(3)))
    reconcile(environment(proxy_db, lago, ledger=ledger), since="1d")
    other_proxy.insert(spend_row(startTime=window(2), spend=9.0))

    refused = run(environment(other_proxy, lago, ledger=ledger))

    assert refused.returncode == 1
    [sentence] = sentences(refused)
    assert f"the source's database was {proxy_db.name}, now {other_proxy.name}" in sentence
    assert "if another proxy or another Lago is meant, give it its own RECONCILE_METER (not 'default')" in sentence
    assert len(lago.events()) == 1


def test_another_schema_of_the_same_database_is_refused(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=window(3)))
    reconcile(environment(proxy_db, lago), since="1d")
    proxy_db.fetch('CREATE SCHEMA other; CREATE TABLE other."LiteLLM_SpendLogs" (LIKE "LiteLLM_SpendLogs")')
    with pytest.raises(MeterChangedError, match="the source's schema was public, now other"):
        reconcile(environment(proxy_db, lago) | {"DATABASE_URL": f"{proxy_db.url}?schema=other"})


@pytest.mark.proof
def test_a_source_that_moved_is_adopted_and_billing_goes_on(
    proxy_db: Database, other_proxy: Database, ledger: Database, lago: Sandbox
) -> None:
    rows = [spend_row(startTime=window(3)), spend_row(startTime=window(2))]
    proxy_db.insert(*rows)
    reconcile(environment(proxy_db, lago, ledger=ledger), since="1d")
    other_proxy.insert(*rows, spend_row(startTime=window(2)))

    moved = environment(other_proxy, lago, ledger=ledger)
    adopted = reconcile(moved, adopt=True)

    assert adopted.adopted == [f"From now on: the source's database was {proxy_db.name}, now {other_proxy.name}."]
    assert adopted.tally.rows == 1
    assert reconcile(moved).tally.events_planned == 0
    assert_exact(other_proxy, lago, ledger=ledger)


def test_a_changed_mapping_is_no_change_of_terms_and_concerns_later_events_only(
    proxy_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row(startTime=window(3)))
    reconcile(environment(proxy_db, lago), since="1d")
    proxy_db.insert(spend_row(startTime=window(3)))
    changed = reconcile(environment(proxy_db, lago, RECONCILE_SUBSCRIPTION="sub-{id}"))
    assert changed.tally.rows == 1
    assert {subscription: usage.requests for (subscription, _), usage in counted(lago).items()} == {
        "acme": 1,
        "sub-acme": 1,
    }
