"""`reconcile verify --repair`: what Lago lacks is sent again, once; what it holds otherwise is a conflict."""

import json
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from reconciler.report import decisions
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify import ledger_and_lago
from reconciler.verify.repair import Repair
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, held, long_ago, now, planned
from tests.support import (
    CODE,
    assert_exact,
    batches,
    customers,
    environment,
    let_minutes_pass,
    make_metric,
    reconcile,
    states,
)
from tests.verify.conftest import ONE, is_open, kinds, leg, post, verify
from tests.verify.test_ledger_and_lago import at_another_time, payloads

Stored = tuple[Sandbox, dict[str, str]]


def billed(source: Database, stored: Stored, count: int = 3) -> dict[str, str]:
    """Bill so many customers, and see that Lago holds it."""
    lago, more = stored
    environ = environment(source, lago) | more
    customers(source, count)
    reconcile(environ, since="2h")
    assert not is_open(verify(environ))
    return environ


def hold(lago: Sandbox, environ: dict[str, str], *events: dict[str, Any]) -> None:
    """Let Lago hold these events and no other, as after a backup was restored: other ids are free again."""
    lago.reset()
    make_metric(lago)
    if "RECONCILE_LAG" in environ:
        lago.clickhouse(lag=0)
    post(lago, "events/batch", {"events": list(events)})


def changed(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"properties": event["properties"] | {"requests": 7}}


def deliver(environ: dict[str, str], ledger: Database) -> None:
    """The next passes, some minutes later."""
    let_minutes_pass(ledger)
    reconcile(environ)


def everything(ledger: Database) -> list[tuple[Any, ...]]:
    """All that a repair might write."""
    return [
        *ledger.fetch("SELECT * FROM reconciler.batch ORDER BY id"),
        *ledger.fetch("SELECT * FROM reconciler.alarm ORDER BY id"),
        *ledger.fetch("SELECT * FROM reconciler.billed_period"),
        *ledger.fetch("SELECT last_value FROM reconciler.batch_id"),
    ]


@pytest.mark.proof
def test_what_lago_lacks_is_sent_again_as_it_was(proxy_db: Database, stored: Stored) -> None:
    lago, environ = stored[0], billed(proxy_db, stored)
    hold(lago, environ, *payloads(proxy_db)[:2])
    before = everything(proxy_db)
    plan = verify(environ, "2h", dry_run=True)
    assert everything(proxy_db) == before
    done = verify(environ, "2h", repair=True)
    for report in (plan, done):
        assert report.mended is not None
        assert (report.mended.again.events, report.mended.conflicts.events, report.exit_code) == (1, 0, 3)
    assert states(proxy_db) == {"accepted": 2, "planned": 1}
    [(by, reason)] = proxy_db.fetch("SELECT decided_by, reason FROM reconciler.batch WHERE state = 'planned'")
    assert (by, reason) == (decisions.person(), "reconcile verify --repair: Lago did not hold it")

    deliver(environ, proxy_db)
    assert_exact(proxy_db, lago)
    assert is_open(verify(environ, dry_run=True)), "sent is not yet read back"
    let_minutes_pass(proxy_db)
    report = verify(environ)
    assert (leg(report, "c").checked, leg(report, "c").rate, is_open(report)) == ("3 events", ONE, False)


@pytest.mark.proof
def test_what_an_older_lago_deleted_with_its_metric_can_not_be_sent_again(proxy_db: Database, lago: Sandbox) -> None:
    environ = billed(proxy_db, (lago, {}))
    lago.forget(CODE)
    found = leg(verify(environ, "2h", repair=True), "c")
    assert (kinds(found), found.rate) == ({"missing in Lago": 3}, Decimal(0))
    reconcile(environ)
    assert states(proxy_db) == {"quarantined": 3}
    [(answer,)] = proxy_db.fetch("SELECT DISTINCT answer FROM reconciler.batch")
    assert answer.startswith("422 value_already_exist, yet Lago shows no such event")


@pytest.mark.proof
def test_what_lago_holds_otherwise_is_a_conflict(proxy_db: Database, stored: Stored) -> None:
    """It rings, stops its bucket, and is sent by no retry as long as Lago holds the other one."""
    lago, environ = stored[0], billed(proxy_db, stored)
    ours = payloads(proxy_db)
    hold(lago, environ, *ours[:2], changed(ours[2]))
    report = verify(environ, "2h", repair=True)
    assert report.mended is not None
    assert (report.mended.again.events, report.mended.conflicts.events) == (0, 1)
    assert report.mended.examples == [f"{ours[2]['transaction_id']}: properties.requests is 7, was sent as 1"]
    [(answer, conflict)] = proxy_db.fetch("SELECT answer, conflict FROM reconciler.batch WHERE state = 'quarantined'")
    assert ("requests is 7" in answer, conflict) == (True, True)
    assert proxy_db.fetch("SELECT kind FROM reconciler.alarm WHERE cleared_at IS NULL") == [("conflict",)]

    proxy_db.insert(spend_row(end_user="customer 2"))
    lago.clear_requests()
    deliver(environ, proxy_db)
    assert (batches(lago), states(proxy_db)) == ([], {"accepted": 2, "quarantined": 1, "held": 1})
    decisions.retry(load_settings(environ=environ), None)
    deliver(environ, proxy_db)
    if "RECONCILE_DEDUPLICATION" in environ:
        return
    assert states(proxy_db) == {"accepted": 2, "quarantined": 1, "held": 1}
    assert len(lago.events()) == 3

    decisions.discard(load_settings(environ=environ), "quarantined", [ours[2]["transaction_id"]], "Lago's is right")
    deliver(environ, proxy_db)
    let_minutes_pass(proxy_db)
    found = leg(verify(environ, "2h"), "c")
    assert (states(proxy_db), found.drifts) == ({"accepted": 3, "discarded": 1}, False)
    assert kinds(found) == {"stands for ours": 1}


@pytest.mark.proof
@pytest.mark.parametrize("stored", ["clickhouse"], indirect=True)
def test_two_repairs_and_a_pass_at_once(proxy_db: Database, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has found missing another has had sent since: it is left alone."""
    lago, environ = stored[0], billed(proxy_db, stored)
    hold(lago, environ, *payloads(proxy_db)[:2])
    mend = Repair.mend

    def later(self: Repair, *found: Any) -> None:
        monkeypatch.setattr(Repair, "mend", mend)
        verify(environ, "2h", repair=True)
        deliver(environ, proxy_db)
        mend(self, *found)

    monkeypatch.setattr(Repair, "mend", later)
    report = verify(environ, "2h", repair=True)
    assert report.mended is not None
    assert (report.mended.again.events, report.mended.passed_over) == (0, 1)
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_messages_that_clickhouse_was_late_with_are_not_sent_again(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Where a copy would count twice, they wait until Lago shows what it took later, and are read back once more."""
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s")
    clickhouse.clickhouse(lag=None)
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    report = verify(environ, repair=True)
    assert report.mended is not None
    assert (report.mended.again.events, report.mended.waiting.events) == (0, 3)
    assert states(proxy_db) == {"accepted": 3}

    clickhouse.clickhouse(lag=0)
    proxy_db.insert(spend_row(end_user="later"))
    reconcile(environ)
    report = verify(environ, repair=True)
    assert report.mended is not None
    assert (report.mended.again.events, report.mended.asks_again) == (3, True)
    clickhouse.release()
    clickhouse.clear_requests()
    deliver(environ, proxy_db)
    assert batches(clickhouse) == []
    assert_exact(proxy_db, clickhouse)


@pytest.mark.proof
def test_where_ids_are_not_refused_each_is_looked_for_at_other_times(
    proxy_db: Database, clickhouse: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that Lago counts at another time would be counted once more, had it been sent again."""
    monkeypatch.setattr(ledger_and_lago, "_ASKED_BY_ID", 0)
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s")
    clickhouse.clickhouse(lag=0)
    customers(proxy_db, 3)
    reconcile(environ, since="2h")
    at_another_time(clickhouse, proxy_db)
    assert kinds(leg(verify(environ), "c")) == {"missing in Lago": 1}
    report = verify(environ, repair=True)
    assert kinds(leg(report, "c")) == {"another event in Lago": 1}
    deliver(environ, proxy_db)
    assert states(proxy_db) == {"accepted": 2, "quarantined": 1}
    assert len(clickhouse.events()) == 3


@pytest.mark.proof
def test_what_a_final_invoice_lacks_is_held(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Lost on the way, then the subscription ended. No rule moves it: Lago may yet show it where it was."""
    clickhouse.clickhouse(lag=0, losses=[{"external_subscription_id": "acme", "count": 1}])
    billing = Billing(clickhouse)
    with closing(billing.api):
        billing.subscribe(made=long_ago())
        environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s", RECONCILE_CLOSED_PERIOD="move")
        proxy_db.insert(spend_row(spend=0.5))
        reconcile(environ, since="2h")
        proxy_db.insert(spend_row(end_user="globex"))
        reconcile(environ)
        billing.end()
        billing.subscribe()
        report = verify(environ, repair=True)
        assert report.mended is not None
        assert (report.mended.again.events, report.mended.late.cost) == (1, Decimal("0.5"))
        clickhouse.clear_requests()
        for rule in ("move", "hold"):
            deliver(environ | {"RECONCILE_CLOSED_PERIOD": rule}, proxy_db)
            [(why, cost)] = held(proxy_db)
            assert ("final" in why or "invoice" in why, cost) == (True, Decimal("0.5"))
        assert batches(clickhouse) == []
        decisions.release(load_settings(environ=environ), None, "credited by hand")
        deliver(environ, proxy_db)
        assert_exact(proxy_db, clickhouse)


@pytest.mark.proof
def test_what_lagos_postgres_lacks_of_a_final_invoice_can_be_moved(proxy_db: Database, lago: Sandbox) -> None:
    """As after a backup was restored: it certainly has it nowhere."""
    billing = Billing(lago)
    with closing(billing.api):
        billing.subscribe(made=long_ago())
        proxy_db.insert(spend_row(spend=0.5))
        environ = planned(proxy_db, lago, since="2h")
        proxy_db.fetch("UPDATE reconciler.batch SET state = 'accepted', attempts = 1, answered_at = now()")
        billing.end()
        billing.subscribe(subscription_at=now().isoformat())
        assert kinds(leg(verify(environ, repair=True), "c")) == {"missing in Lago": 1}
        deliver(environ, proxy_db)
        assert states(proxy_db) == {"held": 1}
        assert run(environ, "held", "release", "--all", "--move").returncode == 0
        deliver(environ, proxy_db)
        assert (states(proxy_db), billing.current()) == ({"accepted": 1}, Decimal("0.5"))
        assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_it_says_what_it_does_and_what_it_leaves(proxy_db: Database, lago: Sandbox) -> None:
    environ = billed(proxy_db, (lago, {}))
    ours = payloads(proxy_db)
    hold(lago, environ, ours[0], changed(ours[1]))
    plan = run(environ, "verify", "--since", "2h", "--dry-run")
    done = run(environ, "verify", "--since", "2h", "--repair")
    begin = "A repair would do this; nothing was written:"
    for finished, begins, left in ((plan, begin, "3, 0.0000405"), (done, "Repaired:", "1, 0.0000135")):
        assert finished.returncode == 3
        assert begins in finished.stdout
        assert "- 1 event (0.0000135 USD) that Lago lacks: planned again" in finished.stdout
        assert "- 1 event (0.0000135 USD) that Lago holds otherwise: quarantined as conflicts." in finished.stdout
        assert f"  {ours[1]['transaction_id']}: properties.requests is 7, was sent as 1" in finished.stdout
        assert f"- not mended: leg d, no subscription: {left} USD." in finished.stdout
    assert json.loads(run(environ, "verify", "--repair", "--json").stdout)["meters"][0]["repair"] == {
        "dry_run": False,
        "planned_again": {"events": 0, "cost": "0"},
        "before_the_present_period": {"events": 0, "cost": "0"},
        "waiting": {"events": 0, "cost": "0"},
        "conflicts": {"events": 0, "cost": "0", "examples": []},
        "passed_over": 0,
        "left": [
            {
                "leg": "d",
                "kind": "no subscription",
                "count": 1,
                "amount": "0.0000135",
                "means": "Lago knows no subscription of that name. It counts the usage once there is one that reaches "
                "back to it.",
            }
        ],
    }


def test_a_repair_that_could_not_read_says_so(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 1)
    reconcile(environ, since="2h")
    lago.permissions(event=[])
    finished = run(environ, "verify", "--repair")
    assert (finished.returncode, "Lago holds each event" in finished.stdout) == (1, False)
    assert "- leg c was not done to its end" in finished.stdout
    assert "give the key that permission in Lago. What was verified before stays so." in finished.stderr


def test_a_dry_run_needs_a_second_connection(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    finished = run(environ | {"DATABASE_URL": f"{proxy_db.url}?connection_limit=1"}, "verify", "--dry-run")
    assert (finished.returncode, "write connection_limit=2" in finished.stderr) == (1, True)
