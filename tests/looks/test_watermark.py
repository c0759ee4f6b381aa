"""The watermark says where to look first; it is never what makes the bill right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.capture.source import Sight, Source
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, environment, let_time_pass, reconcile, window


def test_a_watermark_in_the_future_is_pulled_back_and_reported(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    reconcile(environ, since="2d")
    proxy_db.fetch("UPDATE reconciler.meter SET watermark = watermark + interval '3 days'")
    proxy_db.insert(spend_row(startTime=window()))

    pulled = reconcile(environ)
    assert pulled.watermark is not None
    assert datetime.now(UTC) - timedelta(minutes=20) < pulled.watermark <= datetime.now(UTC)
    assert [alarm["kind"] for alarm in pulled.alarms] == ["clock"]
    assert "was ahead of the source's clock" in pulled.alarms[0]["message"]
    assert "the watermark from" in pulled.alarms[0]["message"]
    assert "the start" not in pulled.alarms[0]["message"]
    assert pulled.exit_code == 3
    assert pulled.tally.rows == 1
    assert_exact(proxy_db, lago)

    # It happened: the alarm stays until a person has seen it.
    assert [alarm["kind"] for alarm in reconcile(environ).alarms] == ["clock"]


def test_a_pass_that_another_has_overtaken_meanwhile_rings_no_alarm(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked at the clock and waited for its turn; a pass that began later moved the watermark beyond that."""
    reconcile(environ, since="2d")
    proxy_db.insert(spend_row(startTime=window()))
    looked = Source.sight

    def long_ago(source: Source) -> Sight:
        monkeypatch.undo()
        sight = looked(source)
        return replace(sight, now=sight.now - timedelta(minutes=40))

    monkeypatch.setattr(Source, "sight", long_ago)
    slow = reconcile(environ)

    assert (slow.exit_code, slow.alarms) == (0, [])
    assert slow.watermark is not None
    assert slow.watermark > datetime.now(UTC) - timedelta(minutes=20), "nor is the watermark pulled back"
    reconcile(environ)
    assert_exact(proxy_db, lago)


def test_a_watermark_that_went_too_far_loses_nothing(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    reconcile(environ, since="2d")
    # As if passes had skipped the last day.
    proxy_db.fetch("DELETE FROM reconciler.\"window\" WHERE start >= now() - interval '1 day'")
    proxy_db.insert(spend_row(startTime=window() - timedelta(hours=20)), spend_row(startTime=window()))
    let_time_pass(proxy_db, "61 minutes")
    reconcile(environ)
    assert_exact(proxy_db, lago)


def test_a_watermark_that_went_back_doubles_nothing(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    proxy_db.insert(*(spend_row(startTime=window(back)) for back in range(1, 100, 7)))
    first = reconcile(environ, since="2d")
    proxy_db.fetch("UPDATE reconciler.meter SET watermark = watermark - interval '1 day'")
    again = reconcile(environ)
    assert again.tally.windows > 90
    assert (again.tally.events_planned, again.delivered.accepted) == (0, 0)
    assert again.watermark == first.watermark or again.watermark == first.watermark + timedelta(minutes=15)  # type: ignore[operator]
    assert_exact(proxy_db, lago)


def test_the_watermark_is_the_end_of_the_newest_settled_window(proxy_db: Database, environ: dict[str, str]) -> None:
    before = datetime.now(UTC)
    done = reconcile(environ | {"RECONCILE_WINDOW": "1m", "RECONCILE_SETTLE": "7m"}, since="1h")
    assert done.watermark is not None
    assert done.watermark == done.watermark.replace(second=0, microsecond=0)
    assert before - timedelta(minutes=8) < done.watermark <= datetime.now(UTC) - timedelta(minutes=7)


def test_a_start_that_is_chosen_later_leaves_no_window_between_it_and_the_first_run(
    proxy_db: Database, lago: Sandbox
) -> None:
    """A first run begins with a window that is not over; a window before it may not be settled either."""
    reconcile(environment(proxy_db, lago, RECONCILE_SETTLE="40m", RECONCILE_LOOKBACK="0s"))
    proxy_db.insert(spend_row(startTime=datetime.now(UTC) - timedelta(minutes=20)))
    reconcile(environment(proxy_db, lago, RECONCILE_SETTLE="40m", RECONCILE_LOOKBACK="0s"), since="2h")
    assert lago.events() == []
    reconcile(environment(proxy_db, lago, RECONCILE_SETTLE="0s", RECONCILE_LOOKBACK="0s"))
    assert_exact(proxy_db, lago)
    assert len(lago.events()) == 1


def _run_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the source's clock be a day ahead, until the patch is undone."""
    looked = Source.sight

    def ahead(source: Source) -> Sight:
        sight = looked(source)
        return replace(sight, now=sight.now + timedelta(days=1))

    monkeypatch.setattr(Source, "sight", ahead)


@pytest.mark.proof
@pytest.mark.parametrize(("since", "ledger_s_clock"), [(None, "right"), ("2h", "right"), ("2h", "ahead, too")])
def test_a_start_in_the_future_is_pulled_back_and_reported(
    proxy_db: Database,
    lago: Sandbox,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    ledger_s_clock: str,
    since: str | None,
) -> None:
    with monkeypatch.context() as patch:
        _run_ahead(patch)
        first = reconcile(environ, since=since)
    assert first.start is not None
    assert first.start > datetime.now(UTC)
    # The first run was three hours ago: the ledger knows, unless its clock was wrong as well.
    gone = "+ interval '1 day'" if ledger_s_clock == "ahead, too" else "- interval '3 hours'"
    proxy_db.fetch(f"UPDATE reconciler.meter SET created_at = created_at {gone}")
    proxy_db.insert(spend_row(startTime=window() - timedelta(hours=1)))

    pulled = reconcile(environ)

    assert pulled.start is not None
    now = datetime.now(UTC)
    begun = now if ledger_s_clock == "ahead, too" else now - timedelta(hours=3)
    assert begun - timedelta(minutes=16) < pulled.start <= begun
    assert pulled.watermark is not None
    assert pulled.watermark <= now
    assert pulled.tally.rows == (0 if ledger_s_clock == "ahead, too" else 1)
    [alarm] = pulled.alarms
    assert alarm["kind"] == "clock"
    moved = f"the start from {first.start:%Y-%m-%d %H:%M} UTC to {pulled.start:%Y-%m-%d %H:%M} UTC"
    assert moved in alarm["message"]
    assert "reconcile --since WHEN" in alarm["message"]

    # Usage before it is nobody's choice to leave out: as the alarm says, --since sets the start anew.
    reconcile(environ, since="5h")
    assert proxy_db.fetch("SELECT start_chosen FROM reconciler.meter") == [(True,)]
    assert_exact(proxy_db, lago)


def test_looks_that_a_clock_ahead_began_or_finished_hide_nothing(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    reconcile(environ, since="5d")
    proxy_db.fetch("UPDATE reconciler.meter SET created_at = created_at + interval '1 year'")
    proxy_db.fetch(
        """INSERT INTO reconciler.look (meter, kind, since, until, position, finished_at)
           SELECT 'default', kind, day - interval '5 days', day + interval '300 days', day - interval '5 days', ended
           FROM date_trunc('day', now()) AS day,
                (VALUES ('probe', now() + interval '1 year'), ('deep', now() + interval '1 year'), ('deep', NULL))
                    AS known (kind, ended)"""
    )
    proxy_db.insert(spend_row(startTime=window(300)), spend_row(startTime=datetime.now(UTC) + timedelta(days=9)))

    assert reconcile(environ).tally.rows == 1
    assert proxy_db.fetch('SELECT max(start) < now() FROM reconciler."window"') == [(True,)]


def test_a_purge_mark_in_the_future_is_found_anew(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    """As a version left it that took a row of 2036 for the oldest."""
    proxy_db.insert(*(spend_row(startTime=window(back)) for back in (300, 9)))
    reconcile(environ, since="5d")
    proxy_db.fetch("UPDATE reconciler.meter SET purge_mark = '2036-01-01'")
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s', window(9).replace(tzinfo=None))
    let_time_pass(proxy_db, "2 days")

    done = reconcile(environ)

    assert [alarm["kind"] for alarm in done.alarms] == ["purged"]
    assert proxy_db.fetch("SELECT purge_mark FROM reconciler.meter") == [(window(9),)]
