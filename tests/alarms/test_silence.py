"""A source with no rows where the same hours of last week had some is an alarm of its own."""

from datetime import UTC, datetime, timedelta

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import environment, reconcile

HOUR = timedelta(hours=1)


def _insert(database: Database, *ages: timedelta) -> None:
    database.insert(*(spend_row(startTime=datetime.now(UTC) - age) for age in ages))


def test_silence_rings_where_last_week_had_rows_and_clears_itself(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    _insert(proxy_db, 7 * 24 * HOUR + 1.5 * HOUR, 4 * HOUR)
    silent = reconcile(environ, since="8d")
    assert [alarm["kind"] for alarm in silent.alarms] == ["silent"]
    assert silent.exit_code == 3
    assert "no rows for three hours" in silent.alarms[0]["message"]

    _insert(proxy_db, 0.5 * HOUR)
    spoken = reconcile(environ)
    assert (spoken.alarms, spoken.exit_code) == ([], 0)


def test_silence_at_hours_that_were_silent_last_week_rings_nothing(proxy_db: Database, lago: Sandbox) -> None:
    _insert(proxy_db, 7 * 24 * HOUR + 5 * HOUR, 6 * 24 * HOUR, 4 * HOUR)
    assert reconcile(environment(proxy_db, lago), since="8d").alarms == []


def test_a_meter_younger_than_a_week_rings_nothing(proxy_db: Database, lago: Sandbox) -> None:
    _insert(proxy_db, 7 * 24 * HOUR + 1.5 * HOUR)
    environ = environment(proxy_db, lago)
    assert reconcile(environ).alarms == []
    assert reconcile(environ, since="3d").alarms == []
