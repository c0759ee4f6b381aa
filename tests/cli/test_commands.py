"""The commands beside a pass, as real processes."""

import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from reconciler.demo.postgres import free_port
from reconciler.model.errors import ReconcileError
from reconciler.sandbox import Sandbox
from reconciler.settings.limits import Limits
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object, sentences, start
from tests.support import CODE, TURN, assert_exact, environment, reconcile


@pytest.mark.proof
def test_a_pass_that_finds_another_one_running_says_so_and_is_content(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    reconcile(environment(proxy_db, lago), since="1d")
    with proxy_db.connect(autocommit=False) as another:
        another.execute(TURN)
        finished = run(environment(proxy_db, lago), "--json")

    assert finished.returncode == 0
    assert "another pass is running" in finished.stderr
    [meter] = only_object(finished)["meters"]
    assert meter["skipped"] is True
    assert meter["error"] is None


def test_without_a_turn_a_pass_is_content_whatever_alarms_stand_and_a_backfill_has_failed(
    proxy_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row(), spend_row(spend=float("nan")))
    environ = environment(proxy_db, lago)
    assert reconcile(environ, since="1d").exit_code == 3
    with proxy_db.connect(autocommit=False) as another:
        another.execute(TURN)
        assert reconcile(environ, limits=Limits(turn=0.2)).exit_code == 0
        with pytest.raises(ReconcileError, match=r"did not get its turn.*Run it again") as failed:
            reconcile(environ, since="2d", limits=Limits(backfill_turn=0.2))

    assert failed.value.exit_code == 1
    reconcile(environ, since="2d")
    assert_exact(proxy_db, lago)


@pytest.mark.no_ledger
def test_without_a_ledger_commands_say_how_to_make_it(proxy_db: Database) -> None:
    for command in (["alarm"], ["alarm", "list"], ["status"]):
        finished = run({"DATABASE_URL": proxy_db.url}, *command)
        assert finished.returncode == 1
        assert sentences(finished) == ["There is no ledger yet: run `reconcile` once, or `reconcile ledger upgrade`."]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.proof(seconds=2))])
def test_the_stand_in_prints_its_variables_serves_and_ends_well(proxy_db: Database, number: signal.Signals) -> None:
    process = start({}, "sandbox", "--port", str(port := free_port()), "--key", "its-key")
    assert process.stdout is not None
    told = dict(process.stdout.readline().strip().split("=", 1) for _ in range(2))
    assert told == {"LAGO_API_BASE": f"http://127.0.0.1:{port}", "LAGO_API_KEY": "its-key"}

    deadline = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"{told['LAGO_API_BASE']}/sandbox/health").json() == {"status": "ok"}
            break
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    metric = {"name": CODE, "code": CODE, "aggregation_type": "sum_agg", "field_name": "response_cost"}
    httpx.post(
        f"{told['LAGO_API_BASE']}/api/v1/billable_metrics",
        headers={"Authorization": f"Bearer {told['LAGO_API_KEY']}"},
        json={"billable_metric": metric},
    ).raise_for_status()
    proxy_db.insert(spend_row())
    settings = told | {"DATABASE_URL": proxy_db.url, "LAGO_API_EVENT_CODE": CODE}
    assert reconcile(settings, since="1d").delivered.accepted == 1

    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (out, err) == ("", "")


@pytest.mark.proof
def test_the_stand_in_can_be_a_clickhouse() -> None:
    options = ("--port", "0", "--store", "clickhouse", "--no-deduplication", "--lag", "1.5")
    process = start({}, "sandbox", *options)
    assert process.stdout is not None
    url = process.stdout.readline().strip().partition("=")[2]
    try:
        weather = httpx.get(f"{url}/sandbox/clickhouse", timeout=10).json()
        assert weather == {"lag": 1.5, "deduplication": False, "losses": [], "waiting": 0}
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_port_that_is_taken_is_told_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = run({}, "sandbox", "--port", port)
    assert finished.returncode == 1
    assert sentences(finished) == [
        f"Can't listen on 127.0.0.1:{port}: Address already in use. Give another --host or --port."
    ]


def test_a_file_that_holds_no_store_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but as long as the header of one would be: " * 10)
    finished = run({}, "sandbox", "--port", "0", "--file", str(path))
    assert finished.returncode == 2
    assert sentences(finished) == [f"{path} holds no postgres store of this version. Give another file."]


def test_status_is_one_object_for_programs_too(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(spend=0.1))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")

    finished = run({"DATABASE_URL": proxy_db.url}, "status", "--json")

    assert finished.returncode == 0
    [meter] = json.loads(finished.stdout)["meters"]
    assert meter["meter"] == "default"
    assert meter["cost_accepted"] == "0.1"
    assert meter["lag_seconds"] >= 0


def test_what_is_stuck_is_in_the_summary_also_when_its_alarm_is_acknowledged(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    run(environ, "--since", "2h")
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0.00001')
    assert run(environ).returncode == 3
    assert run(environ, "alarm", "ack", "1", "--reason", "known").returncode == 0
    later = run(environ)
    assert (later.returncode, later.stderr) == (0, "")
    assert "  1 bucket frozen (0.0000035 USD): `reconcile frozen`\n" in later.stdout
