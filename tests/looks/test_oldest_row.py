"""`--since` begins at the source's oldest row: nothing is looked at, or kept, of the years before it."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.capture.source import Source
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import WINDOW, assert_exact, reconcile, window

LONG_AGO = "1970-01-01"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _windows(ledger: Database) -> tuple[datetime, int]:
    [(first, count)] = ledger.fetch('SELECT min(start), count(*) FROM reconciler."window"')
    return first, count


def test_a_first_since_long_ago_looks_from_the_oldest_row_on(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    before = spend_row(startTime="0007-01-01T00:00:00")  # what lies before is not asked for
    proxy_db.insert(before, spend_row(startTime=window(200)), spend_row(startTime=window(2)))

    done = reconcile(environ, since=LONG_AGO)

    lookback = timedelta(hours=1)
    assert (done.start, done.since) == (EPOCH, window(200) - lookback)
    assert _windows(proxy_db) == (window(200) - lookback, (done.until - done.since) / WINDOW)  # type: ignore[operator]
    assert_exact(proxy_db, lago, where="\"startTime\" > '1970-01-01'")


def test_what_arrives_late_before_the_oldest_row_is_in_scope_all_the_same(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since=LONG_AGO)
    proxy_db.insert(spend_row(startTime=window(300)))

    assert reconcile(environ, since=LONG_AGO).tally.rows == 1

    assert_exact(proxy_db, lago)


def test_a_backfill_from_long_ago_looks_from_the_oldest_row_on_and_asks_for_it_once(
    proxy_db: Database, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spend_row(startTime="0007-01-01T00:00:00")
    proxy_db.insert(before, spend_row(startTime=window(200)), spend_row(startTime=window(2)))
    reconcile(environ, since="2h")
    oldest_row, asked = Source.oldest_row, []

    def counted(source: Source, since: datetime) -> datetime | None:
        asked.append(since)
        return oldest_row(source, since)

    monkeypatch.setattr(Source, "oldest_row", counted)

    done = reconcile(environ, since=LONG_AGO, until=f"{window(100):%Y-%m-%dT%H:%M:%SZ}")

    assert done.tally.rows == 1
    assert (done.since, _windows(proxy_db)[0]) == (window(200), window(200))
    assert asked == [EPOCH]


def test_of_an_empty_table_nothing_is_looked_at(proxy_db: Database, environ: dict[str, str]) -> None:
    done = reconcile(environ, since=LONG_AGO)
    assert done.start == EPOCH
    assert _windows(proxy_db)[1] <= timedelta(hours=1) / WINDOW

    again = reconcile(environ, since=LONG_AGO)
    assert again.tally.windows <= timedelta(hours=1) / WINDOW


def test_a_row_before_all_calendars_keeps_nobody_from_billing(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(spend_row(startTime=window(20)), spend_row(startTime=window(2), request_id="never"))
    proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET "startTime" = '-infinity' WHERE request_id = 'never'""")

    assert reconcile(environ, since=LONG_AGO).tally.rows == 1
