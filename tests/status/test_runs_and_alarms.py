"""`reconcile status`: the last runs, passes that stall, alarms and the exit code."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.model.errors import LagoError
from reconciler.report.status import Status, read_status
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object, sentences
from tests.support import environment, reconcile


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    return environment(proxy_db, lago)


def _status(environ: dict[str, str], only: str | None = None) -> Status:
    [status] = read_status(load_settings(environ=environ), only)
    return status


def _runs(status: Status) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = status.as_json()["runs"]
    return runs


def test_the_last_runs_are_shown_newest_first_with_their_outcome(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    reconcile(environ, since="1d")
    proxy_db.insert(spend_row())
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError):
        reconcile(environ)
    lago.clear_faults()
    reconcile(environ)

    runs = _runs(_status(environ))
    assert [run["outcome"].split(":")[0] for run in runs] == ["done", "failed", "done"]
    assert "401" in runs[1]["outcome"]
    assert all(run["started_at"] <= run["finished_at"] for run in runs)
    assert runs == sorted(runs, key=lambda run: run["started_at"], reverse=True)


def test_no_more_than_five_runs_are_shown(proxy_db: Database, environ: dict[str, str]) -> None:
    reconcile(environ)
    proxy_db.fetch(
        """INSERT INTO reconciler.run (id, meter, finished_at, outcome)
           SELECT number::text, 'default', now(), 'done' FROM generate_series(1, 6) AS number"""
    )
    assert len(_runs(_status(environ))) == 5


def test_a_pass_that_has_not_finished_for_three_intervals_is_stalled(
    proxy_db: Database, environ: dict[str, str]
) -> None:
    environ |= {"RECONCILE_INTERVAL": "60s", "RECONCILE_DEADLINE": "30s"}
    reconcile(environ)
    # A pass begins and is killed.
    proxy_db.fetch("INSERT INTO reconciler.run (id, meter) VALUES ('killed', 'default')")
    assert _status(environ).stalled is None
    proxy_db.fetch("UPDATE reconciler.run SET started_at = now() - interval '4 minutes' WHERE id = 'killed'")
    proxy_db.fetch("UPDATE reconciler.run SET finished_at = now() - interval '5 minutes' WHERE id <> 'killed'")

    stalled = _status(environ)
    assert stalled.stalled is not None
    assert datetime.now(UTC) - stalled.stalled < timedelta(minutes=5)
    assert stalled.exit_code == 1
    assert "passes begin and do not finish since" in run(environ, "status").stdout
    assert _status(environ | {"RECONCILE_INTERVAL": "120s"}).stalled is None
    assert _status(environ | {"RECONCILE_DEADLINE": "10m"}).stalled is None, "one may send for so long"

    # One that gets no turn, because another still has it, is not the end of it.
    proxy_db.fetch(
        "INSERT INTO reconciler.run (id, meter, finished_at, outcome) VALUES ('other', 'default', now(), 'skipped')"
    )
    assert _status(environ).stalled == stalled.stalled

    # One that finishes is the end of it.
    reconcile(environ)
    assert _status(environ).stalled is None


def test_unacknowledged_alarms_set_exit_code_3(proxy_db: Database, environ: dict[str, str]) -> None:
    reconcile(environ, since="1d")
    assert run(environ, "status").returncode == 0
    proxy_db.insert(spend_row(startTime=datetime.now(UTC) - timedelta(minutes=30), spend=-1.0))
    [alarm] = reconcile(environ).alarms
    shown = run(environ, "status", "--json")
    assert shown.returncode == 3
    assert only_object(shown)["meters"][0]["alarms"] == [alarm]

    run(environ, "alarm", "ack", str(alarm["id"]), "--reason", "a test")
    quiet = run(environ, "status")
    assert quiet.returncode == 0
    assert f"alarm {alarm['id']} (suspect) (acknowledged): " in quiet.stdout


def test_a_purge_mark_is_shown(proxy_db: Database, environ: dict[str, str]) -> None:
    reconcile(environ)
    proxy_db.fetch("UPDATE reconciler.meter SET purge_mark = '2026-11-01T12:15:00Z'")
    assert _status(environ).as_json()["purge_mark"] == "2026-11-01T12:15:00Z"
    assert "2026-11-01 12:15 UTC" in run(environ, "status").stdout


@pytest.mark.proof
def test_one_meter_can_be_chosen_and_an_unknown_one_is_told(environ: dict[str, str]) -> None:
    for meter in ("east", "west"):
        reconcile(environ | {"RECONCILE_METER": meter}, adopt=True)
    assert _status(environ, "west").meter.name == "west"
    for command in (
        ["status"],
        ["alarm"],
        ["alarm", "list"],
        ["events"],
        ["events", "show", "r1_"],
        ["held"],
        ["held", "release", "--all"],
        ["quarantine", "retry", "--all"],
        ["quarantine", "discard", "r1_", "--reason", "x"],
        ["customers"],
        ["customers", "--unmapped"],
        ["customers", "--unattributed"],
        ["frozen"],
    ):
        unknown = run(environ, "--meter", "north", *command)
        said = unknown.returncode, sentences(unknown)
        assert said == (1, ["The ledger has no meter 'north'; it has east, west."]), command
    assert run(environ, "alarm", "list", "--meter", "north").returncode == 1
