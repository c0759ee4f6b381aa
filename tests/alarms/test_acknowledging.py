"""An alarm that a person has acknowledged with a reason is quiet until it grows; incidents end with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.report.status import acknowledge, read_alarms
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import environment, reconcile


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    return environment(proxy_db, lago)


def _suspect(age: int) -> dict[str, Any]:
    return spend_row(startTime=datetime.now(UTC) - timedelta(hours=age), spend=float("nan"))


def _list(environ: dict[str, str]) -> list[dict[str, Any]]:
    return read_alarms(load_settings(environ=environ))


def _acknowledge(environ: dict[str, str], alarm: dict[str, Any], reason: str) -> None:
    acknowledge(load_settings(environ=environ), alarm["id"], reason)


def test_an_alarm_is_raised_listed_acknowledged_and_rings_again_when_it_grows(
    proxy_db: Database, environ: dict[str, str]
) -> None:
    assert reconcile(environ, since="1d").exit_code == 0
    assert run(environ, "alarm").stdout == "No alarm stands.\n"

    proxy_db.insert(_suspect(1))
    raised = run(environ)
    assert raised.returncode == 3
    listed = run(environ, "alarm", "list", "--json")
    assert listed.returncode == 0
    [alarm] = only_object(listed)["alarms"]
    assert (alarm["meter"], alarm["kind"], alarm["acknowledged"], alarm["reason"]) == (
        "default",
        "suspect",
        False,
        None,
    )
    assert alarm["message"].startswith("1 row has negative, NaN or infinite spend")
    assert f"alarm {alarm['id']} (suspect): {alarm['message']}" in raised.stderr
    for shown in (run(environ, "alarm"), run(environ, "alarm", "list")):
        assert shown.returncode == 0
        assert "suspect" in shown.stdout

    acknowledged = run(environ, "alarm", "ack", str(alarm["id"]), "--reason", "a broken price list")
    assert acknowledged.returncode == 0
    assert (
        acknowledged.stdout == f"Alarm {alarm['id']} (suspect) of meter default is acknowledged: a broken price list\n"
    )
    quiet = run(environ)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    [known] = _list(environ)
    assert (known["acknowledged"], known["reason"]) == (True, "a broken price list")

    proxy_db.insert(_suspect(1))
    assert reconcile(environ).exit_code == 3
    [grown] = _list(environ)
    assert (grown["id"], grown["acknowledged"], grown["reason"]) == (alarm["id"], False, None)
    assert grown["message"].startswith("2 rows")


def test_one_that_clears_and_comes_back_is_a_new_alarm(proxy_db: Database, environ: dict[str, str]) -> None:
    proxy_db.insert(_suspect(1))
    [first] = reconcile(environ, since="1d").alarms
    _acknowledge(environ, first, "known")
    proxy_db.fetch("UPDATE \"LiteLLM_SpendLogs\" SET spend = 1 WHERE spend = 'NaN'")
    whole = reconcile(environ)
    assert (whole.alarms, whole.exit_code) == ([], 0)
    assert _list(environ) == []

    proxy_db.insert(_suspect(1))
    again = reconcile(environ)
    assert [alarm["kind"] for alarm in again.alarms] == ["suspect"]
    assert again.alarms[0]["id"] != first["id"]
    assert again.exit_code == 3


def test_an_incident_ends_when_it_is_acknowledged(proxy_db: Database, environ: dict[str, str]) -> None:
    reconcile(environ, since="1d")
    proxy_db.fetch("UPDATE reconciler.meter SET watermark = watermark + interval '1 day'")
    [clock] = reconcile(environ).alarms
    assert reconcile(environ).alarms == [clock], "it stays although the watermark is right again"
    _acknowledge(environ, clock, "NTP was off")
    assert _list(environ) == []
    assert reconcile(environ).exit_code == 0
    assert proxy_db.fetch("SELECT reason FROM reconciler.alarm") == [("NTP was off",)]


def test_without_a_reason_or_an_alarm_nothing_is_acknowledged(proxy_db: Database, environ: dict[str, str]) -> None:
    proxy_db.insert(_suspect(1))
    [alarm] = reconcile(environ, since="1d").alarms
    for arguments, said in (
        ([str(alarm["id"])], "--reason"),
        ([str(alarm["id"]), "--reason", " "], "An acknowledgement needs a reason"),
        (["999", "--reason", "x"], "No alarm 999 stands"),
    ):
        refused = run(environ, "alarm", "ack", *arguments)
        assert refused.returncode == 2
        assert said in refused.stderr
    assert [each["acknowledged"] for each in _list(environ)] == [False]


def test_alarms_of_one_meter_are_listed_apart(proxy_db: Database, environ: dict[str, str]) -> None:
    proxy_db.insert(_suspect(1))
    for meter in ("east", "west"):
        reconcile(environ | {"RECONCILE_METER": meter, "LAGO_API_EVENT_CODE": meter}, since="1d")
    assert [alarm["meter"] for alarm in _list(environ)] == ["east", "west"]
    listed = run(environ, "alarm", "list", "--meter", "west", "--json")
    assert [alarm["meter"] for alarm in only_object(listed)["alarms"]] == ["west"]
