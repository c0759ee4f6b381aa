"""Proxies and meters that share a Lago organization: under their own names exact, under one name stopped."""

from collections import Counter
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from reconciler.model.when import parse_when
from reconciler.passes.run import Pass, Request
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object, sentences
from tests.support import (
    BATCH,
    STORES,
    Usage,
    Usages,
    assert_exact,
    counted,
    environment,
    let_time_pass,
    make_metric,
    reconcile,
    two_meters,
    used,
    window,
)


def _sum(one: Usages, other: Usages) -> Usages:
    total = dict(one)
    for key, (input_tokens, output_tokens, cost, requests) in other.items():
        mine = total.get(key, Usage(0, 0, Decimal(), 0))
        total[key] = Usage(
            mine.input_tokens + input_tokens,
            mine.output_tokens + output_tokens,
            mine.cost + cost,
            mine.requests + requests,
        )
    return total


@pytest.mark.proof
def test_two_proxies_under_two_names_are_exact_side_by_side(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    east = environment(proxy_db, lago, RECONCILE_METER="east")
    west = environment(other_proxy, lago, RECONCILE_METER="west")
    for back in range(1, 9):
        # The same customers, models and windows, some with the same usage.
        proxy_db.insert(spend_row(startTime=window(back), end_user=f"c{back % 3}"))
        other_proxy.insert(
            spend_row(startTime=window(back), end_user=f"c{back % 3}", spend=1.35e-05 if back % 2 else 0.001)
        )
    for environ in (east, west, east, west):
        assert reconcile(environ, since="1d").exit_code == 0
    proxy_db.insert(spend_row(startTime=window(1)))
    other_proxy.insert(spend_row(startTime=window(30)))
    for database, environ in ((proxy_db, east), (other_proxy, west)):
        let_time_pass(database, "2 days")
        done = reconcile(environ)
        assert (done.exit_code, done.delivered.accepted) == (0, 1)

    assert counted(lago) == _sum(used(proxy_db), used(other_proxy))
    assert Counter(event["properties"]["meter"] for event in lago.events()) == {"east": 9, "west": 9}


@pytest.mark.proof
def test_a_second_name_for_the_same_usage_is_stopped_unless_it_is_meant(proxy_db: Database, lago: Sandbox) -> None:
    """As `--meter` with a slip of the pen would make it: Lago can't tell that it is the same usage."""
    proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")

    stopped = run(environ, "--meter", "defualt", "--since", "1d")
    assert stopped.returncode == 1
    assert "Meter 'defualt' would bill what meter 'default' bills already" in stopped.stderr
    assert len(lago.events()) == 1
    assert proxy_db.fetch("SELECT name FROM reconciler.meter") == [("default",)]

    make_metric(lago, "another")
    reconcile(environ | {"RECONCILE_METER": "different", "LAGO_API_EVENT_CODE": "another"}, since="1d", dry_run=True)
    assert run(environ, "--meter", "again", "--since", "1d", "--adopt").returncode == 0
    assert len(lago.events()) == 2


@pytest.mark.proof
def test_a_second_proxy_under_the_same_name_is_stopped(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row(startTime=window(2), end_user="acme"))
    other_proxy.insert(spend_row(startTime=window(2), end_user="globex"))
    reconcile(environment(proxy_db, lago), since="1d")
    events = lago.events()

    second = environment(other_proxy, lago)
    stopped = run(second, "--since", "1d")
    assert stopped.returncode == 3
    assert "another ledger or proxy bills under this name" in stopped.stderr
    assert lago.events() == events

    # Its own name is one of the choices, and all is well.
    named = run(second | {"RECONCILE_METER": "west"}, "--since", "1d", "--adopt")
    assert (named.returncode, named.stderr) == (0, "")
    assert counted(lago) == _sum(used(proxy_db), used(other_proxy))


@pytest.mark.proof
def test_a_second_proxy_under_the_same_name_with_the_same_customers_is_stopped(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    """Its events have the ids of the first one's: what they say is compared before anything is sent."""
    proxy_db.insert(spend_row(startTime=window(2), spend=1.0))
    other_proxy.insert(spend_row(startTime=window(2), spend=2.0))
    reconcile(environment(proxy_db, lago), since="1d")
    second = reconcile(environment(other_proxy, lago), since="1d")
    assert (second.exit_code, second.delivered.accepted, second.delivered.quarantined) == (3, 0, 0)
    assert [alarm["kind"] for alarm in second.alarms] == ["foreign"]
    assert "does not know or plans otherwise" in second.alarms[0]["message"]
    assert_exact(proxy_db, lago)


@pytest.mark.proof
@pytest.mark.parametrize("store", ["postgres", "clickhouse"])
def test_a_second_proxy_with_all_buckets_of_the_first_and_one_more_sends_nothing(
    proxy_db: Database, other_proxy: Database, store: str
) -> None:
    options, settings = STORES[store]
    with Sandbox(**options) as lago:
        proxy_db.insert(*(spend_row(startTime=window(2), end_user=customer) for customer in ("acme", "globex")))
        other_proxy.insert(
            spend_row(startTime=window(2), end_user="acme"),
            spend_row(startTime=window(2), end_user="globex", spend=2.0),
            spend_row(startTime=window(2), end_user="initech"),
        )
        reconcile(environment(proxy_db, lago) | settings, since="1d")
        second = environment(other_proxy, lago) | settings

        for since in ("1d", None):
            stopped = reconcile(second, since=since)
            assert (stopped.exit_code, stopped.delivered.accepted, stopped.delivered.quarantined) == (3, 0, 0)
            assert [alarm["kind"] for alarm in stopped.alarms] == ["foreign"]
            assert_exact(proxy_db, lago)

        # Its own name is one of the choices, and all is well.
        assert "its own RECONCILE_METER and run `reconcile --adopt` once" in stopped.alarms[0]["message"]
        assert reconcile(second | {"RECONCILE_METER": "west"}, since="1d", adopt=True).exit_code == 0
        assert counted(lago) == _sum(used(proxy_db), used(other_proxy))


def _file(folder: Path, proxy: Database, lago: Sandbox) -> str:
    return str(two_meters(folder, proxy, lago, window="1h", model_column="model_group", subscription="team-{id}"))


def test_several_meters_of_one_file_are_billed_each_by_its_own_terms(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    proxy_db.insert(
        *(
            spend_row(
                startTime=window(back), end_user=f"c{back % 4}", team_id=f"t{back % 3}", model_group=f"g{back % 2}"
            )
            for back in range(6, 60)
        )
    )
    config = _file(tmp_path, proxy_db, lago)
    done = run({}, "--config", config, "--since", "2d", "--json")
    assert done.returncode == 0, done.stderr
    assert [meter["meter"] for meter in only_object(done)["meters"]] == ["customers", "teams"]

    customers = used(proxy_db)
    teams = used(
        proxy_db, customer="team_id", model="model_group", window_seconds=3600, subscription=lambda team: f"team-{team}"
    )
    assert counted(lago, code="customer_usage") == customers
    assert counted(lago, code="team_usage") == teams

    status = run({}, "status", "--config", config, "--json")
    assert [meter["meter"] for meter in only_object(status)["meters"]] == ["customers", "teams"]


def test_one_meter_of_a_file_can_be_run_alone(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    proxy_db.insert(spend_row(startTime=window(8)))
    config = _file(tmp_path, proxy_db, lago)
    done = run({}, "--config", config, "--since", "1d", "--meter", "teams", "--json")
    assert [meter["meter"] for meter in only_object(done)["meters"]] == ["teams"]
    assert {event["code"] for event in lago.events()} == {"team_usage"}
    unknown = run({}, "--config", config, "--meter", "nobody")
    assert unknown.returncode == 2
    assert sentences(unknown) == ["--meter nobody: the settings describe customers, teams."]


@pytest.mark.proof
def test_a_meter_that_is_refused_keeps_no_other_from_its_pass(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    proxy_db.insert(spend_row(startTime=window(8)))
    config = Path(_file(tmp_path, proxy_db, lago))
    run({}, "--config", str(config), "--since", "2d")
    config.write_text(config.read_text().replace("team_usage", "other_usage"))
    proxy_db.insert(spend_row(startTime=window(2)))

    done = run({}, "--config", str(config), "--json")

    assert done.returncode == 1
    customers, teams = only_object(done)["meters"]
    assert (customers["error"], customers["events_accepted"]) == (None, 1)
    assert "LAGO_API_EVENT_CODE was team_usage, now other_usage" in teams["error"]


@pytest.mark.proof
def test_a_backlog_of_one_meter_leaves_another_its_share_of_the_time(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    file = two_meters(tmp_path, proxy_db, lago)
    file.write_text(f'deadline = "4s"\n{file.read_text()}')
    proxy_db.insert(*(spend_row(model=f"model {number}", team_id="") for number in range(2000)), spend_row())
    lago.faults({"kind": "slow", "seconds": 1, "count": None, "path": BATCH})
    large, small = Pass(load_settings(environ={}, config=file)).run(Request(since=partial(parse_when, "2h")))
    assert 0 < large.delivered.accepted < 2001
    assert small.delivered.accepted == 1
