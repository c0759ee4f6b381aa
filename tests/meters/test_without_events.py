"""A meter that has no event takes new settings without ado; `--adopt --since` never bills by other ones unsaid."""

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from reconciler.capture.bookmarks import NoBookmark
from reconciler.capture.chunks import Chunks
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LagoError, MeterChangedError
from reconciler.model.terms import Stretch, Terms
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database, spend_row
from tests.support import EVENTS, assert_exact, environment, let_time_pass, reconcile, window

BY_USER = {"LAGO_API_CHARGE_BY": "user_id"}


def state(ledger: Database) -> list[tuple[Any, ...]]:
    return [
        row
        for table in ("meter", "terms", "window", "look", "event")
        for row in ledger.fetch(f'SELECT to_jsonb(known)::text FROM reconciler."{table}" AS known ORDER BY 1')
    ]


def customers(ledger: Database) -> list[tuple[str, int]]:
    return ledger.fetch("SELECT customer, sum(requests)::int FROM reconciler.event GROUP BY 1 ORDER BY 1")


@pytest.mark.parametrize("adopt", [False, True])
def test_new_settings_hold_from_the_start_on_where_nothing_was_billed(
    proxy_db: Database, lago: Sandbox, adopt: bool
) -> None:
    """Seventy dollars of nobody: what was looked at by the old settings is looked at again."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(3), end_user=None, user="u-1", spend=70.0))
    first = reconcile(environ, since="1d")
    assert (first.tally.events_planned, first.tally.unattributed_rows) == (0, 1)

    done = reconcile(environ | BY_USER, since="2h" if adopt else None, adopt=adopt)

    [sentence] = done.adopted
    assert sentence == (
        "Nothing was billed yet, so from its start on: LAGO_API_CHARGE_BY was end_user_id, now user_id."
    )
    assert customers(proxy_db) == [("u-1", 1)]
    assert done.balance is not None
    assert done.balance.unattributed_rows == 0
    assert proxy_db.fetch("SELECT count(*), min(since)::text FROM reconciler.terms") == [(1, "1970-01-01 00:00:00+00")]
    assert_exact(proxy_db, lago, customer="user")
    assert reconcile(environ | BY_USER).adopted == []


@pytest.mark.proof
def test_a_first_run_by_the_wrong_customer_then_adopt_since_bills_by_the_new_one(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    reconcile(environ)
    proxy_db.insert(spend_row(startTime=window(4), user="u-1", spend=70.0))
    before = state(proxy_db)
    tried = reconcile(environ | BY_USER, since="2h", adopt=True, dry_run=True)
    assert (tried.tally.events_planned, state(proxy_db)) == (1, before)

    reconcile(environ | BY_USER, since="2h", adopt=True)
    assert customers(proxy_db) == [("u-1", 1)]
    assert_exact(proxy_db, lago, customer="user")


@pytest.mark.proof
def test_another_length_of_window_leaves_no_half_open_window_and_no_backfill_behind(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago, RECONCILE_EXCLUDE="team:t")
    long_ago = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=50)
    proxy_db.insert(*(spend_row(startTime=long_ago + timedelta(minutes=m), team_id="t") for m in (5, 20, 50)))
    reconcile(
        environ,
        since=f"{long_ago + timedelta(minutes=15):%Y-%m-%dT%H:%M}",
        until=f"{long_ago + timedelta(minutes=30):%Y-%m-%dT%H:%M}",
    )
    reconcile(environ)
    changed = environ | {"RECONCILE_EXCLUDE": "team:other", "RECONCILE_WINDOW": "1h"}

    reconcile(changed)
    reconcile(changed)

    assert proxy_db.fetch("SELECT window_start, requests FROM reconciler.event") == [(long_ago, 3)]
    lengths = 'SELECT count(*) FROM reconciler."window" WHERE extract(minute FROM start) <> 0'
    assert proxy_db.fetch(lengths) == [(0,)]
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.look WHERE finished_at IS NULL") == [(0,)]
    let_time_pass(proxy_db, "2 days")
    assert reconcile(changed).exit_code == 0


@pytest.mark.proof
def test_another_database_is_taken_too(
    proxy_db: Database, other_proxy: Database, ledger: Database, lago: Sandbox
) -> None:
    reconcile(environment(proxy_db, lago, ledger=ledger), since="1d")
    other_proxy.insert(spend_row(startTime=window(3)))
    right = environment(other_proxy, lago, ledger=ledger)
    [sentence] = reconcile(right).adopted
    assert f"the source's database was {proxy_db.name}, now {other_proxy.name}" in sentence
    assert_exact(other_proxy, lago, ledger=ledger)


def test_what_is_planned_and_not_sent_is_billed_already(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(3), user="u-1"))
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError, match="401"):
        reconcile(environ, since="1d")
    lago.clear_faults()
    before = state(proxy_db)
    with pytest.raises(MeterChangedError, match="was billed with other settings"):
        reconcile(environ | BY_USER)
    assert state(proxy_db) == before
    assert lago.events() == []


@pytest.mark.proof
def test_adopt_with_since_is_refused_with_the_two_commands(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(3), user="u-1"))
    reconcile(environ, since=window(4).isoformat())
    proxy_db.insert(spend_row(startTime=window(9), user="u-1", spend=70.0))
    before = state(proxy_db)
    since = window(10)

    def refused(*, dry_run: bool = False) -> str:
        with pytest.raises(MeterChangedError) as error:
            reconcile(environ | BY_USER, since=since.isoformat(), adopt=True, dry_run=dry_run)
        return str(error.value)

    for dry_run in (True, False):
        said = refused(dry_run=dry_run)
        assert "LAGO_API_CHARGE_BY was end_user_id, now user_id" in said
        assert "run `reconcile --adopt` alone" in said
        assert f"run `reconcile --since {since:%Y-%m-%dT%H:%M:%SZ}` after it" in said
    assert state(proxy_db) == before

    reconcile(environ | BY_USER, adopt=True)
    assert "Nothing was done" in refused()
    assert len(lago.events()) == 1
    done = reconcile(environ | BY_USER, since=since.isoformat())
    [warning] = done.warnings
    assert "are billed by the settings that they had: LAGO_API_CHARGE_BY was end_user_id, now user_id" in warning
    assert proxy_db.fetch(f"SELECT DISTINCT customer, state FROM {EVENTS}") == [("acme", "accepted")]


def test_a_pass_that_began_by_the_old_settings_bills_nothing_by_them(proxy_db: Database, lago: Sandbox) -> None:
    """As one that is at a long backfill while another takes new settings."""
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    old = Stretch(Terms("openai_tokens", "end_user_id", 900, "model", True, ()), window(4), window(2))
    reconcile(environ | BY_USER)
    chunks = Chunks("default", open_ledger(load_settings(environ=environ)), turn=1, seconds=1, stopping=Event())
    with pytest.raises(MeterChangedError, match="has given meter 'default' other settings"):
        list(chunks.plan(lambda *_: pytest.fail("it is planned"), old, NoBookmark()))
