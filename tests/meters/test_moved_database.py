"""The proxy's database has moved and its ledger was left behind: the new one asks before it begins. Invariant 11."""

import re
from datetime import datetime

import httpx
import pytest

from reconciler.model.errors import LagoAwayError
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import CODE, WINDOW, assert_exact, counted, environment, reconcile, used, window


def _begin(environ: dict[str, str], ledger: Database, start: datetime) -> None:
    """Make a ledger by a plain first run, as if that had been at `start`."""
    assert reconcile(environ).exit_code == 0
    ledger.fetch("UPDATE reconciler.meter SET start = %s, watermark = %s", start, start)


def _move(old: Database, new: Database, lago: Sandbox, *, end: datetime, start: datetime) -> dict[str, str]:
    """Bill on the old database until `end`, begin on the new one at `start`; return the settings there."""
    rows = [spend_row(startTime=end - number * WINDOW, end_user=f"c{number}") for number in (4, 2, 1)]
    old.insert(*rows)
    reconcile(environment(old, lago), since="1d")
    new.insert(*rows)
    environ = environment(new, lago)
    _begin(environ, new, start)
    new.insert(spend_row(startTime=end), spend_row(startTime=start + WINDOW))
    return environ


def _questions(lago: Sandbox) -> int:
    return sum(each["method"] == "GET" and each["path"].startswith("/api/v1/events?") for each in lago.requests())


@pytest.mark.proof
def test_a_ledger_left_behind_is_missed_before_anything_is_sent(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    end, start = window(3), window(2)
    environ = _move(proxy_db, other_proxy, lago, end=end, start=start)
    events = lago.events()

    for _ in range(2):
        stopped = run(environ, "--json")
        [meter] = only_object(stopped)["meters"]
        assert (stopped.returncode, meter["events_accepted"]) == (3, 0)
        assert [alarm["kind"] for alarm in meter["alarms"]] == ["foreign"]
        assert lago.events() == events
    said = meter["alarms"][0]["message"]
    assert f"from before {start:%Y-%m-%d %H:%M} UTC, where this ledger begins" in said
    assert "restore the schema reconciler, or point RECONCILE_LEDGER_URL at it" in said
    assert f"`reconcile --since {end:%Y-%m-%dT%H:%M}`" in said
    assert "give it its own RECONCILE_METER" in said


@pytest.mark.proof
@pytest.mark.parametrize("gap", [1, 0], ids=["a gap", "no gap"])
def test_it_bills_on_from_where_the_old_ledger_ended(
    proxy_db: Database, other_proxy: Database, lago: Sandbox, gap: int
) -> None:
    end = window(3)
    environ = _move(proxy_db, other_proxy, lago, end=end, start=end + gap * WINDOW)
    since = re.search(r"--since (\S+)`", reconcile(environ).alarms[0]["message"])
    assert since

    done = reconcile(environ, since=since[1])

    assert (done.exit_code, done.alarms) == (0, [])
    assert counted(lago) == used(other_proxy)


@pytest.mark.proof
def test_a_ledger_that_plans_all_of_it_again_goes_on_exactly(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    environ = _move(proxy_db, other_proxy, lago, end=window(3), start=window(2))
    assert reconcile(environ).exit_code == 3
    assert reconcile(environ, since="1d").exit_code == 0
    assert_exact(other_proxy, lago)


@pytest.mark.proof
def test_a_ledger_that_is_brought_back_goes_on_exactly(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    environ = _move(proxy_db, other_proxy, lago, end=window(3), start=window(2))
    assert reconcile(environ).exit_code == 3
    assert reconcile(environ | {"RECONCILE_LEDGER_URL": proxy_db.url}, adopt=True).exit_code == 0
    assert_exact(other_proxy, lago, ledger=proxy_db)


@pytest.mark.proof
def test_a_lago_that_is_away_is_asked_again_before_anything_is_sent(
    proxy_db: Database, other_proxy: Database, lago: Sandbox
) -> None:
    environ = _move(proxy_db, other_proxy, lago, end=window(3), start=window(2))
    events = lago.events()
    lago.faults({"kind": "status", "status": 503, "method": "GET", "path": "/api/v1/events", "count": None})
    for _ in range(2):
        with pytest.raises(LagoAwayError):
            reconcile(environ)
    assert lago.pending_faults()
    lago.clear_faults()

    assert [alarm["kind"] for alarm in reconcile(environ).alarms] == ["foreign"]
    assert lago.events() == events


@pytest.mark.proof
def test_a_first_run_beside_the_callback_asks_once_and_goes_on(proxy_db: Database, lago: Sandbox) -> None:
    callback = {"transaction_id": "a-uuid", "external_subscription_id": "acme", "code": CODE}
    httpx.post(
        f"{lago.url}/api/v1/events",
        headers={"Authorization": f"Bearer {lago.api_key}"},
        json={"event": callback | {"timestamp": window(9).timestamp(), "properties": {"model": "x"}}},
    ).raise_for_status()
    environ = environment(proxy_db, lago)
    _begin(environ, proxy_db, window(3))
    assert _questions(lago) == 0

    for number, back in enumerate((3, 2, 1)):
        proxy_db.insert(spend_row(startTime=window(back) + WINDOW / 2))
        done = reconcile(environ)
        assert (done.exit_code, done.delivered.accepted) == (0, 1)
        assert _questions(lago) == 3 + number, "one for each window, and two more before the first"


def test_a_backfill_from_before_the_start_is_no_surprise(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=window(9)))
    environ = environment(proxy_db, lago)
    done = reconcile(environ, since="1d", until="1h")
    assert (done.exit_code, done.delivered.accepted) == (0, 1)
    proxy_db.fetch("UPDATE reconciler.meter SET start = %s, watermark = start", window(3))
    proxy_db.insert(spend_row(startTime=window(2)))
    assert reconcile(environ).exit_code == 0
    assert len(lago.events()) == 2
