"""A lost ledger is made anew: a pass then sends nothing that Lago counts, and all that it does not."""

import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from reconciler.model.errors import MeterChangedError
from reconciler.sandbox import Sandbox
from tests import process
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.cutover.conftest import event_of, send
from tests.periods.conftest import Billing, long_ago
from tests.rebuild.conftest import look, rebuild, taken
from tests.support import (
    BATCH,
    CODE,
    EVENTS,
    STORES,
    assert_exact,
    batches,
    compute_cost,
    counted,
    environment,
    make_metric,
    reconcile,
    used,
    window,
)
from tests.verify.conftest import verify


def lose(ledger: Database) -> None:
    ledger.fetch(
        """TRUNCATE reconciler.meter, reconciler.terms, reconciler."window", reconciler.event, reconciler.batch,
                    reconciler.look, reconciler.run, reconciler.lago"""
    )


@pytest.mark.parametrize(
    ("store", "properties"),
    [
        ("postgres", "both"),
        *(pytest.param(store, "documented", marks=pytest.mark.proof) for store in [*STORES][1:]),
    ],
)
def test_after_it_a_pass_sends_only_what_lago_lacks(store: str, properties: str, proxy_db: Database) -> None:
    options, more = STORES[store]
    with Sandbox(**options) as lago:
        if options:
            lago.clickhouse(lag=0)
            more = more | {"RECONCILE_LAG": "0s"}
        environ = environment(proxy_db, lago, RECONCILE_PROPERTIES=properties, RECONCILE_PRECISE_CENTS="true") | more
        proxy_db.insert(*(spend_row(startTime=window(back), spend=1.1e-9 / 3) for back in (2, 3, 3)))
        reconcile(environ, since="5h")
        proxy_db.insert(spend_row(startTime=window(3), spend=0.5), spend_row(startTime=window(2), end_user="globex"))
        reconcile(environ)
        payloads = proxy_db.fetch("SELECT payload FROM reconciler.event ORDER BY payload")
        proxy_db.fetch("DROP SCHEMA reconciler CASCADE")
        proxy_db.insert(spend_row(startTime=window(3), spend=0.25), spend_row(startTime=window(1)))
        lago.clear_requests()

        assert taken(look(environ)) == {"added": 4}
        assert proxy_db.fetch("SELECT to_regnamespace('reconciler') IS NULL") == [(True,)]
        found = rebuild(environ)
        assert (taken(found), found.left["plan"].number) == ({"added": 4}, 2)
        assert proxy_db.fetch("SELECT payload FROM reconciler.event ORDER BY payload") == payloads, "byte for byte"
        assert batches(lago) == []

        assert reconcile(environ).delivered.accepted == 2
        assert_exact(proxy_db, lago)
        assert not [leg for leg in verify(environ, "5h").legs if leg.name in {"b", "c"} and (leg.drifts or leg.error)]
        assert taken(rebuild(environ)) == {"known": 6}


@pytest.mark.proof
def test_windows_of_another_length_keep_it(proxy_db: Database, lago: Sandbox) -> None:
    environ, hours = environment(proxy_db, lago), {"RECONCILE_WINDOW": "1h", "LAGO_API_CHARGE_BY": "user_id"}
    proxy_db.insert(spend_row(startTime=window(17), user="acme"), spend_row(startTime=window(18), user="acme"))
    reconcile(environ | hours, since="9h")
    lose(proxy_db)
    proxy_db.insert(spend_row(startTime=window(4)))
    reconcile(environ, since=window(6).isoformat())
    lose(proxy_db)
    proxy_db.insert(spend_row(startTime=window(17), user="acme", spend=0.5), spend_row(startTime=window(4), spend=0.5))

    found = rebuild(environ, "9h")
    assert "windows of 1h, charged by user_id" in found.agreed[0]
    assert "windows of 15m, charged by end_user_id" in found.agreed[1]
    assert reconcile(environ).exit_code == 0
    assert counted(lago) == used(proxy_db)
    assert proxy_db.fetch(f"SELECT count(*), max(revision) FROM {EVENTS} WHERE state = 'accepted'")[0][1] == 1


@pytest.mark.proof
def test_what_retention_has_deleted_is_no_alarm_a_bucket(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(*(spend_row(startTime=window(back), end_user=f"c{back}") for back in (2, 6, 7, 8)))
    reconcile(environ, since="5h")
    lose(proxy_db)
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE end_user IN (%s, %s)', "c7", "c8")
    proxy_db.insert(spend_row(startTime=window(7), end_user="late"))
    rebuild(environ)
    done = reconcile(environ)
    assert {alarm["kind"] for alarm in done.alarms} <= {"purged"}
    assert done.delivered.accepted == 1
    assert len(lago.events()) == 5


@pytest.mark.proof
def test_a_mapping_that_has_changed_moves_nothing(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="5h")
    lose(proxy_db)
    environ["RECONCILE_SUBSCRIPTION"] = "new-{id}"
    proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
    rebuild(environ)
    assert reconcile(environ).delivered.accepted == 1
    assert [(key[0], usage.requests) for key, usage in sorted(counted(lago).items())] == [("acme", 1), ("new-acme", 1)]


@pytest.mark.parametrize(("billed", "now"), [("none", "model"), ("model", "none"), ("model_group", "model")])
def test_other_names_of_models_than_were_billed_are_refused(
    billed: str, now: str, proxy_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row(startTime=window(2)), spend_row(startTime=window(2), model="b", model_group="c"))
    environ = environment(proxy_db, lago, RECONCILE_MODEL_COLUMN=billed)
    reconcile(environ, since="5h")
    lose(proxy_db)
    with pytest.raises(MeterChangedError, match="Set RECONCILE_MODEL_COLUMN as it was"):
        rebuild(environ | {"RECONCILE_MODEL_COLUMN": now})
    assert proxy_db.fetch("SELECT FROM reconciler.meter") == []


@pytest.mark.proof
def test_an_earlier_code_is_named(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    make_metric(lago, "old")
    proxy_db.insert(spend_row(startTime=window(6)))
    reconcile(environ | {"LAGO_API_EVENT_CODE": "old"}, since="5h")
    lose(proxy_db)
    proxy_db.insert(spend_row(startTime=window(2)))
    with pytest.raises(MeterChangedError, match=r"under the code 'old'.* Run it with --code old as well"):
        rebuild(environ)
    assert proxy_db.fetch("SELECT FROM reconciler.meter") == [], "a pass would bill that once more"
    rebuild(environ, codes=("old",))
    assert reconcile(environ).delivered.accepted == 1
    assert sorted(event["code"] for event in lago.events()) == ["old", CODE]


def test_a_since_after_the_beginning_is_said(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(2)), spend_row(startTime=window(9)))
    reconcile(environ, since="5h")
    lose(proxy_db)
    found = rebuild(environ, window(5).isoformat())
    assert (taken(found), found.before, found.exit_code) == ({"added": 1}, window(9), 3)
    again = rebuild(environ)
    assert (taken(again), again.start, again.exit_code) == ({"added": 1, "known": 1}, window(5), 0)
    assert proxy_db.fetch("SELECT start FROM reconciler.meter") == [(window(5),)], "the spend table may reach further"


def test_what_the_callback_has_billed_is_said_before_anybody_agrees(proxy_db: Database, lago: Sandbox) -> None:
    """A cut-over that was lost with the ledger had counted it as billed."""
    environ, rows = environment(proxy_db, lago), [spend_row(spend=3.5e-7), spend_row(spend=0.25)]
    proxy_db.insert(*rows)
    send(lago, *map(event_of, rows))
    done = run(environ, "rebuild", "--since", "5h")
    assert (done.returncode, proxy_db.fetch("SELECT FROM reconciler.meter")) == (1, [])
    said = "LiteLLM's callback has sent 2 events, 0.25 USD from "
    assert done.stderr.index(said) < done.stderr.index("Nothing was done. Add --yes")
    found = look(environ)
    assert found.callback is not None
    assert (found.callback.cost, found.exit_code) == (Decimal("0.25000035"), 3)


def test_a_metric_that_overwrites_what_was_sent_hides_it(proxy_db: Database, lago: Sandbox) -> None:
    compute_cost(lago)
    environ = environment(proxy_db, lago)
    with pytest.raises(MeterChangedError, match="computes response_cost by an expression"):
        rebuild(environ)


@pytest.mark.proof
def test_two_meters_are_made_and_a_program_has_to_agree(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    environ = environment(proxy_db, lago)
    del environ["LAGO_API_EVENT_CODE"]
    make_metric(lago, "old")
    path = tmp_path / "reconcile.toml"
    path.write_text(f'[meters.a]\nlago_api_event_code = "{CODE}"\n[meters.b]\nlago_api_event_code = "old"\n')
    environ["RECONCILE_CONFIG"] = str(path)
    proxy_db.insert(spend_row(startTime=window(2)))
    process.run(environ, "--since", "5h")
    lose(proxy_db)

    declined = process.run(environ, "rebuild", "--since", "5h")
    assert (declined.returncode, proxy_db.fetch("SELECT FROM reconciler.meter")) == (1, [])
    assert "unknown to the ledger: taken in" in declined.stdout
    assert "Nothing was done. Add --yes" in declined.stderr
    done = process.run(environ, "rebuild", "--since", "5h", "--yes", "--json")
    told = process.only_object(done)
    assert (done.returncode, told["exit_code"]) == (0, 0), json.dumps(told)
    assert [each["events"]["added"]["events"] for each in told["done"]] == [1, 1]
    process.run(environ)
    assert len(lago.events()) == 2


def test_what_was_moved_to_another_period_is_not_moved_once_more(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Its window does not show it, and a store that refuses no id would count both."""
    clickhouse.clickhouse(lag=0)
    billing = Billing(clickhouse)
    with closing(billing.api):
        billing.subscribe(made=long_ago())
        billing.end()
        billing.subscribe()
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s", RECONCILE_CLOSED_PERIOD="move")
    proxy_db.insert(spend_row(spend=0.5))
    reconcile(environ, since="2h")
    [event] = clickhouse.events()
    assert event["timestamp"] > event["properties"]["window"], "it was moved"
    lose(proxy_db)

    for rule in ("move", "hold"):
        stopped = reconcile(environ | {"RECONCILE_CLOSED_PERIOD": rule}, since="2h")
        assert [alarm["kind"] for alarm in stopped.alarms] == ["foreign" if rule == "move" else "held"]
    refused = run(environ, "held", "release", "--all", "--move")
    assert (refused.returncode, "run `reconcile rebuild --since " in refused.stderr) == (3, True)
    assert clickhouse.events() == [event]
    rebuild(environ, "2h")
    assert (reconcile(environ).exit_code, clickhouse.events()) == (0, [event])


@pytest.mark.proof
def test_what_lago_holds_twice_and_what_is_nobodys_is_named(proxy_db: Database, clickhouse: Sandbox) -> None:
    clickhouse.clickhouse(lag=0)
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s")
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="5h")
    [(payload,)] = proxy_db.fetch("SELECT payload::json FROM reconciler.event")
    key = {"Authorization": f"Bearer {clickhouse.api_key}"}
    strange = payload | {"transaction_id": "r1_by_hand"}
    for event in (payload, strange):
        httpx.post(f"{clickhouse.url}{BATCH}", headers=key, json={"events": [event]}).raise_for_status()
    lose(proxy_db)
    done = process.run(environ, "rebuild", "--since", "5h", "--yes")
    assert done.returncode == 3
    assert "1 event, 0.0000135 USD more than once in Lago" in done.stderr
    assert "such as r1_by_hand: the id does not follow from what it bills" in done.stderr
    assert json.loads(process.run(environ, "events", "--json").stdout)["events"][0]["state"] == "accepted"
