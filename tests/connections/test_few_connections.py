"""A role or a URL that allows few connections: a pass works with them, says how many it needs, counts what it did."""

import itertools
from datetime import timedelta

import pytest

from reconciler.cli.show.summary import _lines
from reconciler.ledger.batches import Batch
from reconciler.ledger.outbox import Outbox
from reconciler.model.errors import ReconcileError
from reconciler.passes.run import Pass, Request
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database
from tests.process import run, sentences
from tests.support import EVENTS, assert_exact, customers, end_leases, environment, reconcile

ROLE = ("biller", "secret")


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """Usage for many batches, and many senders; the role may log in twice."""
    customers(proxy_db, 500)
    proxy_db.fetch("CREATE ROLE biller LOGIN PASSWORD 'secret' CONNECTION LIMIT 2")
    proxy_db.fetch('GRANT SELECT ON "LiteLLM_SpendLogs" TO biller')
    proxy_db.fetch("GRANT ALL ON SCHEMA reconciler TO biller")
    proxy_db.fetch("GRANT ALL ON ALL TABLES IN SCHEMA reconciler TO biller")
    proxy_db.fetch("GRANT ALL ON ALL SEQUENCES IN SCHEMA reconciler TO biller")
    return environment(proxy_db, lago, RECONCILE_CONNECTIONS="8", DATABASE_URL=proxy_db.url_of(*ROLE))


@pytest.mark.parametrize(("limit", "of_url"), [(1, ""), (2, "?connection_limit=2")])
def test_a_pass_works_with_as_many_as_it_gets(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox, limit: int, of_url: str
) -> None:
    proxy_db.fetch(f"ALTER ROLE biller CONNECTION LIMIT {limit}")
    environ["DATABASE_URL"] += of_url
    assert reconcile(environ, since="2h").delivered.accepted == 500
    assert_exact(proxy_db, lago)


def test_a_dry_run_needs_two_and_says_so(environ: dict[str, str], proxy_db: Database) -> None:
    assert reconcile(environ, since="2h", dry_run=True).tally.events_planned == 500
    limited = environ | {"DATABASE_URL": environ["DATABASE_URL"] + "?connection_limit=1"}
    with pytest.raises(ReconcileError, match="connection_limit=1, and a dry run needs two connections"):
        reconcile(limited, since="2h", dry_run=True)


def test_no_connection_at_all_is_one_sentence_that_says_how_many_it_needs(
    environ: dict[str, str], proxy_db: Database
) -> None:
    proxy_db.fetch("ALTER ROLE biller CONNECTION LIMIT 0")
    finished = run(environ)
    assert finished.returncode == 1
    [sentence] = sentences(finished)
    assert 'gives us no connection: too many connections for role "biller". A pass needs one' in sentence
    assert "CONNECTION LIMIT" in sentence


@pytest.mark.proof
def test_what_was_accepted_counts_even_if_the_ledger_breaks_midway(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, batches = Outbox.accept, itertools.count(1)

    def accept_and_lock_out(outbox: Outbox, batch: Batch) -> bool:
        done = accept(outbox, batch)
        if next(batches) == 3:
            proxy_db.fetch("ALTER ROLE biller CONNECTION LIMIT 0")
            proxy_db.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'biller'")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "accept", accept_and_lock_out)
        settings = load_settings(environ=environ | {"RECONCILE_CONNECTIONS": "1"})
        [summary] = Pass(settings).run(Request(since=lambda now: now - timedelta(hours=2)))

    assert summary.exit_code == 1
    assert proxy_db.fetch(f"SELECT count(*) FROM {EVENTS} WHERE state = 'accepted'") == [(300,)]
    assert summary.as_json()["events_accepted"] == 300
    assert [line for line, _ in _lines(summary)] == ["Meter default: not done, 300 events accepted by Lago."]

    proxy_db.fetch("ALTER ROLE biller CONNECTION LIMIT 2")
    end_leases(proxy_db)
    reconcile(environ)
    assert_exact(proxy_db, lago)
