"""`reconcile status` exits with 1 while passes do not do their work, and says since when, why and what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.ledger.passes import Passes, Patience
from reconciler.model.errors import MeterChangedError
from reconciler.passes.work import Work
from reconciler.report.status import Status, exit_code, read_status
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import environment, reconcile

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
EVERY_MINUTE = Patience(apart=2 * HOUR, long=timedelta(minutes=11), settle=timedelta(minutes=2))
HEALTHY = Passes(
    now=NOW,
    watermark=NOW - HOUR / 4,
    lag=timedelta(minutes=17),
    age=30 * 24 * HOUR,
    begun_at=NOW - timedelta(minutes=5),
    failed_since=None,
    failures=0,
    failure=None,
    skipped_since=None,
    skips=0,
    unfinished_since=None,
)

TROUBLES: dict[str, tuple[Passes, str]] = {
    "healthy": (HEALTHY, ""),
    "an hourly cron": (replace(HEALTHY, begun_at=NOW - HOUR, lag=HOUR + timedelta(minutes=17)), ""),
    "one is running": (replace(HEALTHY, unfinished_since=NOW - timedelta(minutes=10)), ""),
    "one found another running": (replace(HEALTHY, skipped_since=NOW - timedelta(minutes=1), skips=1), ""),
    "none for hours": (replace(HEALTHY, begun_at=NOW - 3 * HOUR), "No pass has begun since 2026-11-24 10:00 UTC"),
    "one that hangs": (
        replace(HEALTHY, unfinished_since=NOW - HOUR),
        "Passes begin and do not finish since 2026-11-24 12:00 UTC",
    ),
    "all found another running": (
        replace(HEALTHY, skipped_since=NOW - 3 * HOUR, skips=36),
        "Each pass since 2026-11-24 10:00 UTC (36) has found another one running",
    ),
    "all failed": (
        replace(HEALTHY, failed_since=NOW - HOUR, failures=12, failure="DATABASE_URL can't be reached."),
        "12 passes failed since 2026-11-24 12:00 UTC: DATABASE_URL can't be reached.",
    ),
    "a watermark far behind": (
        replace(HEALTHY, watermark=NOW - 9 * HOUR, lag=9 * HOUR),
        "What was used from 2026-11-24 04:00 UTC on is not billed yet, 9 hours behind",
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_wrong_with_passes_is_said_in_one_sentence(name: str) -> None:
    gone, said = TROUBLES[name]
    troubles = list(gone.troubles(EVERY_MINUTE))
    assert len(troubles) == bool(said)
    assert all(each.startswith(said) for each in troubles)
    assert not list(replace(gone.after_a_good_one, lag=HOUR).troubles(EVERY_MINUTE)), "a good pass makes up for it"


@pytest.mark.parametrize(("interval", "apart"), [("1m", 2 * HOUR), ("6h", 18 * HOUR)])
def test_who_runs_passes_seldom_is_not_told_that_none_runs(interval: str, apart: timedelta) -> None:
    environ = {"DATABASE_URL": "postgresql://r@db/litellm", "RECONCILE_INTERVAL": interval}
    assert Patience.of(load_settings(environ=environ, require_lago=False)).apart == apart


def _status(environ: dict[str, str]) -> Status:
    [status] = read_status(load_settings(environ=environ))
    return status


def _behind(status: Status) -> str:
    """What the alarm `behind` says; empty if it does not stand."""
    return next((alarm["message"] for alarm in status.alarms if alarm["kind"] == "behind"), "")


def test_status_exits_with_1_after_a_pass_that_failed_on_a_401_and_with_0_after_one_that_works(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    lago.faults({"kind": "status", "status": 401, "count": None})
    assert run(environ, "--since", "2h").returncode == 1
    shown = run(environ, "status")
    assert shown.returncode == 1
    assert "alarm (behind): 1 pass failed since 20" in shown.stdout
    assert "401" in shown.stdout
    [alarm] = only_object(run(environ, "status", "--json"))["meters"][0]["alarms"]
    assert (alarm["id"], alarm["kind"], alarm["cost"]) == (None, "behind", "0.0000135")

    # It is a matter of the ledger's, which tells everybody, once it has gone on for an hour.
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.alarm") == [(0,)]
    proxy_db.fetch("UPDATE reconciler.run SET started_at = started_at - interval '2 hours'")
    assert run(environ).returncode == 1
    assert proxy_db.fetch("SELECT kind, extent FROM reconciler.alarm WHERE cleared_at IS NULL") == [("behind", 1)]
    assert _behind(_status(environ)).startswith("2 passes failed since 20")

    lago.clear_faults()
    done = reconcile(environ)
    assert (done.alarms, done.exit_code, _status(environ).exit_code) == ([], 0, 0)


def test_a_pass_that_is_refused_before_it_looks_at_anything_has_failed(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    assert _status(environ).exit_code == 0
    with pytest.raises(MeterChangedError):
        reconcile(environ | {"LAGO_API_EVENT_CODE": "other"})
    refused = _status(environ)
    assert (refused.exit_code, exit_code([refused, refused])) == (1, 1)
    assert "LAGO_API_EVENT_CODE was openai_tokens, now other" in _behind(refused)


def test_status_exits_with_1_without_a_pass_for_hours_or_with_an_old_watermark(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    reconcile(environ)
    idle = _status(environ)
    assert (idle.exit_code, idle.alarms) == (0, [])

    proxy_db.fetch("UPDATE reconciler.run SET started_at = started_at - interval '3 hours'")
    assert _behind(_status(environ)).startswith("No pass has begun since 20")
    assert _status(environ).exit_code == 1
    assert _status(environ | {"RECONCILE_INTERVAL": "2h"}).exit_code == 0

    proxy_db.fetch("UPDATE reconciler.run SET started_at = now()")
    proxy_db.fetch("UPDATE reconciler.meter SET watermark = watermark - interval '9 hours'")
    assert _status(environ).exit_code == 0, "a meter that was made just now may have a long way to go"
    proxy_db.fetch("UPDATE reconciler.meter SET created_at = created_at - interval '9 hours'")
    late = _status(environ)
    assert late.exit_code == 1
    assert " on is not billed yet, 9 hours behind" in _behind(late)


def test_of_a_meter_that_the_settings_have_given_up_no_pass_is_expected(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    for meter in ("old", "new"):
        reconcile(environ | {"RECONCILE_METER": meter}, adopt=True)
    proxy_db.fetch("UPDATE reconciler.run SET started_at = started_at - interval '1 day' WHERE meter = 'old'")
    assert [each.exit_code for each in read_status(load_settings(environ=environ | {"RECONCILE_METER": "new"}))] == [
        0,
        0,
    ]
    assert exit_code(read_status(load_settings(environ=environ | {"RECONCILE_METER": "old"}))) == 1
    assert exit_code(read_status(load_settings(environ=environ), "old")) == 1


def test_a_pass_that_breaks_is_none_that_did_its_work(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = environment(proxy_db, lago)
    reconcile(environ)
    with monkeypatch.context() as broken:
        broken.setattr(Work, "bill", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reconcile(environ)
    assert "1 pass failed since" in _behind(_status(environ))
    reconcile(environ)
    assert _status(environ).exit_code == 0
