"""What is in scope: windows from the meter's start on, and windows explicitly backfilled. Nothing else is billed."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.looks.conftest import looked_at
from tests.support import WINDOW, assert_exact, counted, let_time_pass, reconcile, window


def _meter(ledger: Database) -> tuple[datetime, datetime]:
    """The start and the watermark."""
    [(start, watermark)] = ledger.fetch("SELECT start, watermark FROM reconciler.meter")
    return start, watermark


def _text(moment: datetime) -> str:
    return moment.isoformat()


def test_a_first_run_starts_with_the_current_window_and_says_how_to_bill_earlier(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(spend_row(startTime=window()), spend_row(startTime=window() - timedelta(days=3)))
    before = datetime.now(UTC)
    done = run(environ)
    assert (done.returncode, done.stderr) == (0, "")
    start, watermark = _meter(proxy_db)
    assert before - WINDOW < start <= datetime.now(UTC)
    assert start == watermark
    assert "Billing starts with the current window" in done.stdout
    assert f"reconcile --since {start - timedelta(days=1):%Y-%m-%d}" in done.stdout
    assert lago.events() == []


def test_rows_before_the_start_are_never_billed_by_any_look(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    reconcile(environ)
    start, _ = _meter(proxy_db)
    for age in (timedelta(seconds=1), timedelta(minutes=40), timedelta(days=3), timedelta(days=30)):
        proxy_db.insert(spend_row(startTime=start - age))
    fresh = reconcile(environ)
    let_time_pass(proxy_db, "61 minutes")
    probed = reconcile(environ)
    let_time_pass(proxy_db, "2 days")
    deep = reconcile(environ)

    kinds = proxy_db.fetch("SELECT kind FROM reconciler.look WHERE finished_at IS NOT NULL ORDER BY id")
    assert kinds == [("probe",), ("deep",)]
    assert [each.tally.rows for each in (fresh, probed, deep)] == [0, 0, 0]
    assert lago.events() == []


def test_the_first_since_sets_the_start_and_what_is_late_from_there_is_billed(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    reconcile(environ)
    since = window() - timedelta(days=3)
    proxy_db.insert(spend_row(startTime=since), spend_row(startTime=since - timedelta(seconds=1)))

    done = reconcile(environ, since=_text(since))
    assert done.tally.rows == 1
    assert _meter(proxy_db) == (since, done.until), "all that is settled has been seen"

    proxy_db.insert(spend_row(startTime=since + timedelta(hours=5)))
    let_time_pass(proxy_db, "61 minutes")
    assert reconcile(environ).tally.rows == 1
    assert_exact(proxy_db, lago, where=f"\"startTime\" >= '{since:%F %T}'")


def test_a_first_since_that_makes_the_meter_sets_its_start_and_no_window_is_looked_at_twice(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    since = window() - timedelta(days=2)
    proxy_db.insert(spend_row(startTime=since), spend_row(startTime=window()))
    done = reconcile(environ, since=_text(since))
    assert _meter(proxy_db)[0] == done.since == since
    assert done.watermark == done.until
    assert done.tally.windows == len(looked_at(proxy_db))
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_later_since_adds_windows_and_moves_neither_start_nor_watermark(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    start = window() - timedelta(days=2)
    reconcile(environ, since=_text(start))
    _, watermark = _meter(proxy_db)
    earlier, until = start - timedelta(days=5), start - timedelta(days=3)
    proxy_db.insert(*(spend_row(startTime=earlier + hours * timedelta(hours=8)) for hours in range(-3, 15)))

    done = reconcile(environ, since=_text(earlier), until=_text(until))

    assert done.tally.rows == 6
    assert _meter(proxy_db)[0] == start
    assert _meter(proxy_db)[1] - watermark <= WINDOW, "only the clock moves it"
    span = f"\"startTime\" >= '{earlier:%F %T}' AND \"startTime\" < '{until:%F %T}' OR \"startTime\" >= '{start:%F %T}'"
    assert_exact(proxy_db, lago, where=span)

    # What was backfilled is in scope: late rows there are found. Between it and the start nothing is.
    proxy_db.insert(
        spend_row(startTime=until - timedelta(seconds=1)), spend_row(startTime=until), spend_row(startTime=start)
    )
    let_time_pass(proxy_db, "61 minutes")
    assert reconcile(environ).tally.rows == 2
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = spend * 2')
    let_time_pass(proxy_db, "2 days")
    reconcile(environ)
    assert_exact(proxy_db, lago, where=span)


def test_a_since_with_until_before_any_pass_leaves_the_start_at_the_current_window(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    since = window() - timedelta(days=4)
    proxy_db.insert(*(spend_row(startTime=since + timedelta(days=days)) for days in range(4)))
    done = reconcile(environ, since=_text(since), until=_text(since + timedelta(days=2)))
    assert done.tally.rows == 2
    assert _meter(proxy_db)[0] > window()
    assert sum(usage.requests for usage in counted(lago).values()) == 2

    # The first one without --until still sets it.
    reconcile(environ, since=_text(since + timedelta(days=3)))
    assert _meter(proxy_db)[0] == since + timedelta(days=3)
    assert sum(usage.requests for usage in counted(lago).values()) == 3


def test_since_and_until_are_rounded_down_to_a_window(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    since = window() - timedelta(days=1)
    proxy_db.insert(*(spend_row(startTime=since + minutes * timedelta(minutes=1)) for minutes in (0, 14, 15, 30, 44)))
    done = reconcile(environ, since=_text(since + timedelta(minutes=10)), until=_text(since + timedelta(minutes=35)))
    assert (done.since, done.tally.rows) == (since, 3)
