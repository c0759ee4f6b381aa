"""What Lago refuses it has not stored, whichever its store: nothing waits to be read back, and all else is billed.

What it refuses at once is tried on the store where anything in doubt would have to be read back.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import (
    BATCH,
    EVENTS,
    LAGOS_404,
    QUICK,
    STORES,
    assert_exact,
    batches,
    counted,
    customers,
    environment,
    let_minutes_pass,
    reconcile,
    reconcile_while_undecided,
    states,
    used,
)

INVALID = (
    '{"status": 422, "error": "Unprocessable Entity", "code": "validation_errors", '
    '"error_details": {"2": {"timestamp": ["invalid_format"]}}}'
)
HASTY = replace(QUICK, request=0.3)
OPEN = f"SELECT count(*) FROM {EVENTS} WHERE state = 'planned' AND open_since IS NOT NULL"


on_any_store = pytest.mark.parametrize("store", STORES)


@pytest.fixture
def store() -> str:
    return "clickhouse"


@pytest.fixture
def more(store: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The options of a stand-in with this store, and the settings that it needs."""
    return STORES[store]


@pytest.fixture
def any_lago(more: tuple[dict[str, Any], dict[str, str]]) -> Iterator[Sandbox]:
    with Sandbox(**more[0]) as lago:
        yield lago


@pytest.fixture
def environ(proxy_db: Database, any_lago: Sandbox, more: tuple[dict[str, Any], dict[str, str]]) -> dict[str, str]:
    return environment(proxy_db, any_lago) | more[1]


def test_an_event_that_lago_names_is_quarantined_and_the_rest_goes_at_once(
    proxy_db: Database, any_lago: Sandbox, environ: dict[str, str]
) -> None:
    customers(proxy_db, 8)
    any_lago.faults({"kind": "status", "status": 422, "body": INVALID, "path": BATCH})
    done = reconcile(environ, since="2h")
    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 7, 1)
    [first, second] = batches(any_lago)
    assert second == first[:2] + first[3:]
    [(id_, answer)] = proxy_db.fetch(
        f"SELECT payload::json ->> 'transaction_id', answer FROM {EVENTS} WHERE state = 'quarantined'"
    )
    assert (id_, answer) == (first[2], "422 {'timestamp': ['invalid_format']}")
    [(customer,)] = proxy_db.fetch(f"SELECT customer FROM {EVENTS} WHERE state = 'quarantined'")
    assert_exact(proxy_db, any_lago, where=f"end_user <> '{customer}'", undelivered=1)


def test_a_lago_that_takes_fewer_events_gets_smaller_batches(
    proxy_db: Database, more: tuple[dict[str, Any], dict[str, str]]
) -> None:
    with Sandbox(batch_max_length=7, **more[0]) as lago:
        customers(proxy_db, 120)
        assert reconcile(environment(proxy_db, lago) | more[1], since="2h").delivered.accepted == 120
        assert max(request["events"] for request in lago.requests() if request["status"] == 200) == 7
        assert any(request["status"] == 422 for request in lago.requests())
        assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_one_event_that_is_refused_without_a_name_is_found_and_stops_no_other(
    proxy_db: Database, any_lago: Sandbox, environ: dict[str, str]
) -> None:
    customers(proxy_db, 30)
    fault = {"kind": "status", "status": 413, "body": "<html>too large</html>", "count": None, "path": BATCH}
    any_lago.faults({**fault, "external_subscription_id": "customer 7"})
    with suppress(LagoError):
        reconcile(environ, since="2h")
    assert proxy_db.fetch(OPEN) == [(0,)], "a refusal leaves nothing to be read back"
    reconcile_while_undecided(environ, proxy_db)
    [(customer, answer)] = proxy_db.fetch(f"SELECT customer, answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert customer == "customer 7"
    assert "413" in answer
    assert_exact(proxy_db, any_lago, where="end_user <> 'customer 7'", undelivered=1)


@pytest.mark.parametrize(
    ("store", "stored"), [("clickhouse", True), ("clickhouse", False), ("clickhouse, deduplicating", True)]
)
def test_an_answer_that_comes_too_late_leaves_a_question_that_is_cleared_up(
    stored: bool,
    proxy_db: Database,
    any_lago: Sandbox,
    environ: dict[str, str],
    more: tuple[dict[str, Any], dict[str, str]],
) -> None:
    customers(proxy_db, 8)
    any_lago.faults({"kind": "hang", "seconds": 5, "commit": stored, "path": BATCH})
    if more[0].get("deduplication", True):
        reconcile(environ, since="2h", limits=HASTY)
    else:  # it may not go again at once
        with pytest.raises(LagoError, match=r"no answer within 0\.3 s"):
            reconcile(environ, since="2h", limits=HASTY)
        assert states(proxy_db) == {"planned": 8}
        assert len(batches(any_lago)) == 1
        assert proxy_db.fetch(f"SELECT DISTINCT failure FROM {EVENTS}") == [("no answer within 0.3 s",)]
        let_minutes_pass(proxy_db)
        reconcile(environ)
    assert states(proxy_db) == {"accepted": 8}
    assert counted(any_lago) == used(proxy_db)


@on_any_store
def test_what_is_stored_when_nobody_waits_for_the_answer_any_more_counts_once(
    proxy_db: Database, any_lago: Sandbox, environ: dict[str, str]
) -> None:
    customers(proxy_db, 8)
    any_lago.faults({"kind": "slow", "seconds": 1, "path": BATCH})
    with suppress(LagoError):
        reconcile(environ, since="2h", limits=HASTY)
    while not any(request["fault"] == "slow" for request in any_lago.requests()):
        time.sleep(0.05)
    let_minutes_pass(proxy_db)
    reconcile(environ)
    assert states(proxy_db) == {"accepted": 8}
    assert counted(any_lago) == used(proxy_db)


@pytest.mark.parametrize("allowed", ["read", "write"])
def test_a_key_that_may_not_do_all_is_named_and_everything_stays_planned(
    allowed: str, proxy_db: Database, any_lago: Sandbox, environ: dict[str, str]
) -> None:
    customers(proxy_db, 3)
    any_lago.permissions(event=[allowed])
    missing = "write" if allowed == "read" else "read"
    setting = f"it answers 403, so LAGO_API_KEY may not {missing} events: give the key that permission in Lago"
    _refuses(environ, setting, proxy_db, any_lago)
    any_lago.permissions()
    assert reconcile(environ).delivered.accepted == 3, "at once"
    assert_exact(proxy_db, any_lago)


@pytest.mark.parametrize("when", ["from the first question on", "from the first batch on"])
def test_a_key_of_another_organization_is_named_and_everything_stays_planned(
    when: str, proxy_db: Database, any_lago: Sandbox, environ: dict[str, str]
) -> None:
    customers(proxy_db, 3)
    setting = "it answers 401, so LAGO_API_KEY is not a key of this organization"
    if "question" in when:
        _refuses(environ | {"LAGO_API_KEY": "another"}, setting, proxy_db, any_lago)
    else:
        any_lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
        _refuses(environ, setting, proxy_db, any_lago)
        any_lago.clear_faults()
    assert reconcile(environ).delivered.accepted == 3, "at once"
    assert_exact(proxy_db, any_lago)


def test_an_address_without_batches_is_named_and_everything_stays_planned(
    proxy_db: Database, any_lago: Sandbox, environ: dict[str, str]
) -> None:
    customers(proxy_db, 3)
    any_lago.faults({"kind": "status", "status": 404, "body": LAGOS_404, "count": None, "path": BATCH})
    setting = "it answers 404, so LAGO_API_BASE is not the address of a Lago, such as https://api.getlago.com"
    _refuses(environ, setting, proxy_db, any_lago)
    any_lago.clear_faults()
    assert reconcile(environ).delivered.accepted == 3, "at once"
    assert_exact(proxy_db, any_lago)


def _refuses(environ: dict[str, str], setting: str, database: Database, lago: Sandbox) -> None:
    with pytest.raises(LagoError) as refused:
        reconcile(environ, since="2h")
    assert str(refused.value) == f"Lago at LAGO_API_BASE ({lago.url}) refuses us: {setting}. All events stay planned."
    assert refused.value.exit_code == 1
    assert states(database) == {"planned": 3}
    assert database.fetch(OPEN) == [(0,)]
    assert lago.events() == []
