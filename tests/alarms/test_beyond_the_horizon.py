"""Usage that can't be billed stays an alarm when no look comes to its windows any more."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, environment, let_time_pass, reconcile, window

OLD = window() - timedelta(days=50)
"""Older than the horizon of 35 days."""


def _messages(done: Summary) -> dict[str, str]:
    return {alarm["kind"]: alarm["message"] for alarm in done.alarms}


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.csv"
    file.write_text("customer,subscription\nacme,acme\n")
    return file


@pytest.mark.proof
def test_unmapped_usage_of_a_backfill_stays_an_alarm_until_it_is_billed(
    proxy_db: Database, lago: Sandbox, mapping: Path
) -> None:
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))
    proxy_db.insert(spend_row(startTime=OLD), spend_row(startTime=OLD, end_user="globex", spend=0.5))

    assert (
        "1 customer with usage (1 bucket, 0.5 USD), most of it of globex (0.5 USD)"
        in _messages(reconcile(environ, since="60d"))["unmapped"]
    )
    let_time_pass(proxy_db, "2 days")
    later = reconcile(environ)
    assert f"the oldest of {OLD:%Y-%m-%d %H:%M} UTC" in _messages(later)["unmapped"]
    assert later.exit_code == 3

    with mapping.open("a") as file:
        file.write("globex,globex\n")
    assert reconcile(environ, since="60d").exit_code == 0
    assert_exact(proxy_db, lago)


def test_suspect_rows_of_a_backfill_stay_an_alarm(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=OLD, spend=float("nan")), spend_row(startTime=OLD + timedelta(hours=1)))
    for done in (reconcile(environ, since="60d"), reconcile(environ)):
        assert _messages(done).keys() == {"suspect"}
        assert done.exit_code == 3


@pytest.mark.proof
def test_unmapped_usage_that_retention_reaches_stays_an_alarm(proxy_db: Database, lago: Sandbox, mapping: Path) -> None:
    """What is deleted can't be billed any more: a person has to know what it was."""
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))
    old = window() - timedelta(days=5)
    proxy_db.insert(
        spend_row(startTime=old), spend_row(startTime=old, end_user="globex", spend=0.5), spend_row(startTime=window())
    )
    reconcile(environ, since="9d")
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s', window().replace(tzinfo=None))
    let_time_pass(proxy_db, "2 days")
    first = reconcile(environ)
    proxy_db.insert(spend_row(startTime=old, model="another"))  # billed, and no reason to forget the other's
    for done in (first, reconcile(environ, since="9d"), reconcile(environ, since="9d")):
        assert _messages(done).keys() == {"unmapped", "purged"}
        assert done.balance is not None
        assert (done.balance.unmapped_buckets, done.balance.unmapped_cost) == (1, Decimal("0.5"))


@pytest.mark.proof
def test_unmapped_usage_that_retention_has_left_is_billed_once_it_is_mapped(
    proxy_db: Database, lago: Sandbox, mapping: Path
) -> None:
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))
    old = window() - timedelta(days=5)
    proxy_db.insert(
        *(spend_row(startTime=old + timedelta(minutes=minute)) for minute in (-1, 4, 14)),
        *(spend_row(startTime=old + timedelta(minutes=9), end_user=name, spend=0.5) for name in ("globex", "hooli")),
    )
    reconcile(environ, since="9d")
    proxy_db.fetch(
        'DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s', (old + timedelta(minutes=5)).replace(tzinfo=None)
    )
    let_time_pass(proxy_db, "2 days")
    assert _messages(reconcile(environ)).keys() == {"unmapped", "purged"}

    with mapping.open("a") as file:
        file.write("globex,globex\n")
    let_time_pass(proxy_db, "2 days")
    half = reconcile(environ)
    assert (half.tally.rows, half.tally.cost_planned) == (1, Decimal("0.5"))
    assert "(1 bucket, 0.5 USD)" in _messages(half)["unmapped"]

    with mapping.open("a") as file:
        file.write("hooli,hooli\n")
    let_time_pass(proxy_db, "2 days")
    assert _messages(reconcile(environ)).keys() == {"purged"}
