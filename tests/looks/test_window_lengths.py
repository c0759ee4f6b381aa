"""Windows of a minute, an hour and a day: events lie in their window, only settled ones are billed, all exact."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, let_time_pass, reconcile

LENGTHS = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}


@pytest.mark.proof
@pytest.mark.parametrize("window", LENGTHS)
def test_usage_is_exact_in_windows_of(proxy_db: Database, lago: Sandbox, environ: dict[str, str], window: str) -> None:
    length, now = LENGTHS[window], datetime.now(UTC)
    rows = [
        spend_row(startTime=now - timedelta(minutes=25 * number), spend=number * 1.1e-05, end_user=f"c{number % 3}")
        for number in range(200)
    ]
    proxy_db.insert(*rows)
    environ |= {"RECONCILE_WINDOW": window}
    done = reconcile(environ, since="2d")

    assert done.watermark is not None
    assert now - timedelta(minutes=2) - length < done.watermark <= datetime.now(UTC) - timedelta(minutes=2)
    assert (done.watermark - datetime(1970, 1, 1, tzinfo=UTC)) % length == timedelta()
    span = f"\"startTime\" >= '{done.start:%F %T}'"
    seconds = int(length.total_seconds())
    assert_exact(proxy_db, lago, where=span, window_seconds=seconds)
    for event in lago.events():
        start, _, name = event["properties"]["window"].partition("/")
        last = datetime.fromisoformat(start) + length - timedelta(milliseconds=1)
        assert datetime.fromisoformat(event["timestamp"]) == last
        assert name == {"1m": "PT1M", "1h": "PT1H", "1d": "P1D"}[window]

    late = done.watermark - max(length, timedelta(hours=5))
    proxy_db.insert(spend_row(startTime=late, spend=1.0, end_user="late"))
    let_time_pass(proxy_db, "61 minutes")
    assert reconcile(environ).tally.cost_planned == Decimal(1)
    assert_exact(proxy_db, lago, where=span, window_seconds=seconds)
