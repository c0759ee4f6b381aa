"""`--dry-run` compares and counts; it writes nothing at all and sends nothing."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from reconciler.model.when import parse_when
from reconciler.passes.run import Pass, Request
from reconciler.report.progress import Silent
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import environment, let_time_pass, reconcile, window


def _contents(database: Database) -> dict[str, Any]:
    """All that a dump of the database would hold: every relation, every row, where every sequence stands."""
    with database.connect() as connection:
        relations = connection.execute(
            "SELECT oid::regclass::text, relkind::text, relfilenode FROM pg_class WHERE relnamespace <> ALL "
            "('{pg_catalog,pg_toast,information_schema}'::regnamespace[]) ORDER BY 1"
        ).fetchall()
        tables = [name for name, kind, _ in relations if kind in {"r", "p"}]
        rows = {
            name: connection.execute(f"SELECT t::text FROM {name} AS t ORDER BY 1".encode()).fetchall()
            for name in tables
        }
        sequences = connection.execute("SELECT schemaname, sequencename, last_value FROM pg_sequences").fetchall()
    return {"relations": relations, "rows": rows, "sequences": sorted(sequences)}


@pytest.mark.no_ledger
def test_before_the_first_pass_it_counts_and_makes_no_ledger(
    proxy_db: Database, ledger: Database, lago: Sandbox
) -> None:
    proxy_db.insert(*(spend_row(startTime=window(back), spend=0.001) for back in range(1, 20)))
    before = _contents(proxy_db), _contents(ledger)
    environ = environment(proxy_db, lago, ledger=ledger)
    lago.clear_requests()

    would = reconcile(environ, since="1d", dry_run=True)

    assert (would.tally.rows, would.tally.events_planned, would.tally.cost_planned) == (19, 19, Decimal("0.019"))
    assert (_contents(proxy_db), _contents(ledger)) == before
    assert ledger.fetch("SELECT to_regnamespace('reconciler')") == [(None,)]
    assert {request["method"] for request in lago.requests()} == {"GET"}


@pytest.mark.proof
def test_on_a_ledger_with_all_to_do_it_counts_and_writes_nothing(
    proxy_db: Database, ledger: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago, ledger=ledger)
    old = window() - timedelta(days=3)
    proxy_db.insert(
        *(spend_row(startTime=moment) for moment in (old - timedelta(days=1), old, window(2))),
        spend_row(startTime=window(2), request_id="gone", end_user="globex"),
    )
    reconcile(environ, since="2d")
    # New rows, a frozen bucket, a watermark ahead, a probe and a deep look due, an event to be sent, a backfill.
    proxy_db.insert(spend_row(startTime=window(2), spend=0.5), spend_row(startTime=window(3), spend=0.25))
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = %s', "gone")
    ledger.fetch("UPDATE reconciler.meter SET watermark = watermark + interval '1 day'")
    ledger.fetch("UPDATE reconciler.batch SET state = 'planned'")
    let_time_pass(ledger, "2 days")
    lago.clear_requests()
    before = _contents(proxy_db), _contents(ledger)

    would = reconcile(environ, since="5d", dry_run=True)

    assert (_contents(proxy_db), _contents(ledger)) == before
    assert {request["method"] for request in lago.requests()} == {"GET"}
    assert would.tally.rows == 4
    assert would.as_json()["frozen_buckets"] == 1
    assert would.tally.cost_planned == Decimal("0.750027")


def test_a_changed_setting_is_tried_out_and_not_adopted(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    before = _contents(proxy_db)
    would = reconcile(environ | {"RECONCILE_WINDOW": "1h"}, adopt=True, dry_run=True)
    assert len(would.adopted) == 1
    assert _contents(proxy_db) == before


def test_the_command_says_what_it_would_plan(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
    environ = environment(proxy_db, lago)
    said = run(environ, "--dry-run", "--since", "1d")
    assert (said.returncode, said.stderr) == (0, "")
    assert "1 row newly billed, would plan 1 event of 0.50 USD" in said.stdout
    printed = run(environ, "--dry-run", "--since", "1d", "--json")
    [meter] = only_object(printed)["meters"]
    assert (meter["dry_run"], meter["rows"], meter["events_planned"], meter["cost_planned"]) == (True, 1, 1, "0.5")


class _PassMeanwhile(Silent):
    """Runs a pass as soon as the dry run has looked at a chunk."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        self.accepted: list[int] = []

    def looked(self, *_: object) -> None:
        if not self.accepted:
            self.accepted.append(reconcile(self._environ).delivered.accepted)


def test_it_keeps_no_pass_waiting(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_STATEMENT_TIMEOUT="3s")
    reconcile(environ)
    proxy_db.fetch("UPDATE reconciler.meter SET start = start - interval '2 hours'")
    proxy_db.insert(spend_row(startTime=window(1)))
    meanwhile = _PassMeanwhile(environ)

    request = Request(since=partial(parse_when, "2d"), dry_run=True)
    [would] = Pass(load_settings(environ=environ)).run(request, meanwhile)

    assert meanwhile.accepted == [1]
    assert would.error is None


class _EndsIt(Silent):
    """Ends the dry run's transaction when it has looked at a chunk, as a server does that is shut down."""

    def __init__(self, source: Database) -> None:
        self._source = source

    def looked(self, *_: object) -> None:
        self._source.fetch(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND state = 'idle in transaction'"""
        )


def test_a_transaction_that_the_server_ends_is_an_error_in_one_sentence(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=window(1)))
    request = Request(since=partial(parse_when, "1h"), dry_run=True)
    [would] = Pass(load_settings(environ=environment(proxy_db, lago))).run(request, _EndsIt(proxy_db))
    assert "terminating connection" in str(would.error)
