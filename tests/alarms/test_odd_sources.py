"""What is odd about the spend table is said: no rows at all, local time, rows that cost nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.ledger.balance import balance
from reconciler.ledger.kinds.rows import EMPTY
from reconciler.ledger.kinds.source import local_time
from reconciler.ledger.store import open_ledger
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.support import assert_exact, environment, let_time_pass, reconcile

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def _kinds(done: Summary) -> list[str]:
    return [alarm["kind"] for alarm in done.alarms]


def _message(done: Summary, kind: str) -> str:
    [message] = [alarm["message"] for alarm in done.alarms if alarm["kind"] == kind]
    return str(message)


@pytest.mark.proof
def test_a_table_that_never_had_a_row_is_said(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, ledger=ledger)
    first = reconcile(environ)
    assert (first.warnings, first.exit_code) == ([EMPTY], 0), "the proxy may be as new as the meter"
    let_time_pass(ledger, "2 hours")
    empty = reconcile(environ)
    assert (_kinds(empty), empty.warnings, empty.exit_code) == (["empty"], [], 3)
    assert all(cause in _message(empty, "empty") for cause in ("disable_spend_logs", "SPEND_LOGS_URL", "DATABASE_URL"))
    assert "has no rows" in run(environ, "status").stdout

    proxy_db.insert(spend_row())
    spoken = reconcile(environ, since="1d")
    assert (spoken.alarms, spoken.warnings) == ([], [])
    proxy_db.fetch('TRUNCATE "LiteLLM_SpendLogs"')
    assert "empty" not in _kinds(reconcile(environ)), "a table that was emptied is another matter"


def test_rows_ahead_of_the_clock_are_local_time(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    now = datetime.now(UTC)
    environ = environment(proxy_db, lago, ledger=ledger)
    proxy_db.insert(
        spend_row(startTime=now + 20 * MINUTE), spend_row(startTime="2036-01-01"), spend_row(startTime=now - 2 * HOUR)
    )
    assert _kinds(reconcile(environ, since="1d")) == [], "a clock that is a little wrong, and one row of nonsense"

    proxy_db.insert(spend_row(startTime=now + 8 * HOUR))
    ahead = reconcile(environ)
    assert _kinds(ahead) == ["local time"]
    assert "lies 8 hours ahead of the database's clock" in _message(ahead, "local time")
    assert "TZ=UTC" in _message(ahead, "local time")


LATENESS: list[tuple[list[timedelta], str | None]] = [
    ([5 * HOUR + MINUTE, 5 * HOUR + 2 * MINUTE, 5 * HOUR + 4 * MINUTE], "5 hours"),
    ([5.5 * HOUR + 2 * MINUTE, 5.6 * HOUR, 5.5 * HOUR + 3 * MINUTE], "5.5 hours"),
    ([5 * HOUR, 1 * MINUTE, 5 * HOUR], None),  # rows were parked, others come in time
    ([100 * MINUTE, 90 * MINUTE, 95 * MINUTE], None),  # the longest requests that LiteLLM lets run
    ([HOUR + 2 * MINUTE, HOUR, *[HOUR + MINUTE] * 11], "an hour"),  # UTC-1
    ([HOUR + 2 * MINUTE, *[HOUR + MINUTE] * 11, HOUR + 25 * MINUTE], None),  # requests that take that long
    ([HOUR + 2 * MINUTE, HOUR, HOUR + MINUTE], None),
    ([5 * HOUR, 5 * HOUR], None),  # chance
    ([400 * HOUR, 380 * HOUR, 350 * HOUR], None),  # history that is copied
    ([], None),
]


def test_rows_that_keep_arriving_hours_late_are_local_time(proxy_db: Database, lago: Sandbox) -> None:
    """Passes every five minutes, and a row of that lateness before each of the last ones."""
    environ = environment(proxy_db, lago)
    reconcile(environ)
    now = datetime.now(UTC)

    def said(passes: list[tuple[datetime, datetime]]) -> list[str]:
        """What rings after passes at these times that saw these newest rows."""
        proxy_db.fetch("TRUNCATE reconciler.run")
        for clock, newest in passes:
            _remember(proxy_db, clock, newest)
        with open_ledger(load_settings(environ=environ)).transaction() as connection:
            figures = balance(connection, "default", now)
        return [alarm.message for alarm in local_time(figures)]

    for lateness, hours in LATENESS:
        times = [now - (len(lateness) - number) * 5 * MINUTE for number in range(len(lateness))]
        last = lateness[-1] if lateness else 7 * HOUR
        found = said(
            [
                *((clock, clock - late) for clock, late in zip(times, lateness, strict=True)),
                (now - MINUTE, now - 500 * HOUR),
                (now, now - last),
            ]
        )
        assert len(found) == bool(hours), lateness
        assert not hours or f"in a day the newest was never nearer to the database's clock than {hours}." in found[0]

    night = [(now - hours * HOUR, now - (hours + 6) * HOUR) for hours in (23, 16, 8)]
    assert said([*night, (now, now - 9 * HOUR)]) == [], "passes by night, over a proxy that works by day"


def _remember(ledger: Database, clock: datetime, newest: datetime) -> None:
    """As a pass that began at that time, and saw that newest row, would have left it."""
    ledger.fetch(
        """INSERT INTO reconciler.run (id, meter, started_at, finished_at, outcome, source_clock, newest_row)
           VALUES (%s, 'default', %s, %s, 'done', %s, %s)""",
        str(clock), clock, clock, clock, newest,
    )  # fmt: skip


@pytest.mark.proof
def test_rows_with_tokens_and_no_cost_are_shown_and_billed(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, ledger=ledger, RECONCILE_EXCLUDE="customer:internal")
    free = {"spend": 0.0, "model": "openai/unpriced"}
    quiet = [
        spend_row(),
        spend_row(spend=0.0, cache_hit="True"),
        spend_row(**free, status="failure"),
        spend_row(**free, prompt_tokens=0, completion_tokens=0),
        spend_row(**free, end_user="internal"),
        spend_row(**free, end_user=""),
    ]
    proxy_db.insert(*quiet)
    assert _kinds(reconcile(environ, since="1d")) == []

    # Beside rows that cost, and beside free cache hits, of the same bucket.
    proxy_db.insert(spend_row(**free), spend_row(**free), spend_row(**free, cache_hit="True"), spend_row(spend=0.0))
    done = reconcile(environ)
    assert _kinds(done) == ["unpriced"]
    assert _message(done, "unpriced").startswith(
        "3 rows of 2 models have 90 tokens and cost nothing: openai/gpt-4o-mini, openai/unpriced. LiteLLM has no price"
    )
    assert done.balance is not None
    assert done.balance.unpriced_rows == 3
    assert done.tally.cost_planned == Decimal(0)
    assert_exact(proxy_db, lago, ledger=ledger, where="end_user <> 'internal'")

    assert run(environ, "alarm", "ack", str(done.alarms[0]["id"]), "--reason", "free on purpose").returncode == 0
    proxy_db.insert(spend_row(**free), spend_row(**free))
    assert reconcile(environ).exit_code == 0, "more of the same is no news"
    proxy_db.insert(spend_row(spend=0.0, model="openai/another"))
    assert reconcile(environ).exit_code == 3
