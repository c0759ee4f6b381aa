"""The watermark says where to look first; it is never what makes the bill right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.capture.source import Sight, Source
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.looks.conftest import window
from tests.support import assert_exact, environment, let_time_pass, reconcile


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
