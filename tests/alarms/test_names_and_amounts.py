"""An alarm's sentence names who, by USD, and how much, to the last digit; a huge name is cut."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import QUICK, environment, reconcile

HUGE = "x" * 200_000
HOSTILE = "\x1b[31mred\x1b[0m {} %s %(x)s"


def _message(alarms: list[dict[str, Any]], kind: str) -> str:
    return next(str(alarm["message"]) for alarm in alarms if alarm["kind"] == kind)


def test_unmapped_customers_are_named_with_the_most_first_and_exact(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.csv"
    mapping.write_text("customer,subscription\n")
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))
    # The column is a float to LiteLLM; a numeric one holds what no float does.
    proxy_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" ALTER COLUMN spend TYPE numeric')
    for customer, spend in (
        ("tiny", "0.0000001"),
        ("globex", "12345678901234567890.00000000000000000001"),
        (HUGE, "5"),
        (HOSTILE, "6"),
    ):
        proxy_db.insert(spend_row(end_user=customer, spend=Decimal(spend), request_id=customer[:20]))

    done = reconcile(environ, since="1d")
    message = _message(done.alarms, "unmapped")
    assert (
        " lacks 4 customers with usage (4 buckets, 12345678901234567901.00000010000000000001 USD), most of it of "
        in message
    )
    assert "of globex (12345678901234567890.00000000000000000001 USD), " in message
    assert f", {HOSTILE} (6 USD), {HUGE[:60]}… (5 USD)" in message
    assert "tiny" not in message
    assert [alarm["cost"] for alarm in done.alarms] == ["12345678901234567901.00000010000000000001"]

    proxy_db.fetch("DELETE FROM \"LiteLLM_SpendLogs\" WHERE end_user <> 'tiny'")
    assert "most of it of tiny (0.0000001 USD)" in _message(reconcile(environ).alarms, "unmapped")

    mapping.write_text("customer,subscription\ntiny,tiny\n")
    assert reconcile(environ).alarms == []
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.unbilled") == [(0,)]


@pytest.mark.proof
def test_of_very_many_stuck_events_those_that_cost_most_are_named(proxy_db: Database, lago: Sandbox) -> None:
    """More batches than a sentence is worth summing: here of one event each."""
    limits = replace(QUICK, batch=1)
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", spend=number) for number in range(1, 31)))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h", limits=limits)

    def said() -> str:
        proxy_db.fetch("UPDATE reconciler.batch SET state = 'quarantined', answer = 'no'")
        return _message(reconcile(environ, limits=limits).alarms, "quarantined")

    assert "most of it of customer 30 (30 USD), customer 29 (29 USD), customer 28 (28 USD). Why: no." in said()
    proxy_db.insert(spend_row(end_user="customer 31", spend=31))
    reconcile(environ, limits=limits)
    assert "most of it of customer 31 (at least 31 USD), customer 30 (at least 30 USD)" in said()


def test_whose_buckets_are_frozen_and_whose_rows_are_suspect_is_said_with_the_most_first(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    spent = {"acme": 4.0, "globex": 8.0, HOSTILE: 2.0, "initech": 1.0}
    moments = [datetime.now(UTC) - age for age in (timedelta(hours=2), timedelta(minutes=90))]
    rows = [spend_row(end_user=name, spend=spend, startTime=at) for name, spend in spent.items() for at in moments]
    nan = {"spend": float("nan")}
    proxy_db.insert(*rows, spend_row(end_user="acme", **nan), spend_row(end_user=None, **nan), spend_row(**nan))
    done = reconcile(environ, since="1d")
    assert "3 rows have" in _message(done.alarms, "suspect")
    assert ". Most are of acme (2 rows), no name (1 row). " in _message(done.alarms, "suspect")

    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = spend / 4 WHERE spend >= 0')
    frozen = _message(reconcile(environ, since="1d").alarms, "frozen")
    most = f"most of it of globex (12 USD), acme (6 USD), {HOSTILE} (3 USD): rows were"
    assert f"8 buckets hold less in the source than was billed (22.5 USD less), {most}" in frozen

    proxy_db.fetch("UPDATE \"LiteLLM_SpendLogs\" SET spend = spend * 4 WHERE end_user <> 'initech' AND spend >= 0")
    proxy_db.fetch("DELETE FROM \"LiteLLM_SpendLogs\" WHERE spend = 'NaN'")
    whole = reconcile(environ, since="1d")
    assert [alarm["kind"] for alarm in whole.alarms] == ["frozen"]
    assert "(1.5 USD less), most of it of initech (1.5 USD):" in _message(whole.alarms, "frozen")
    assert proxy_db.fetch("SELECT DISTINCT why, customer FROM reconciler.unbilled") == [("frozen", "initech")]


def test_what_is_stuck_is_named_with_its_usd_why_and_what_to_do(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    spent = {"refused": 2.5, "refused too": 0.25, "in conflict": 4.0, "late": 8.0, "fine": 16.0}
    proxy_db.insert(*(spend_row(end_user=customer, spend=spend) for customer, spend in spent.items()))
    reconcile(environ, since="2h", limits=replace(QUICK, batch=1))
    # What delivery would have made of them.
    for change, whose in (
        ("state = 'quarantined', answer = '422 a field'", "refused%"),
        ("state = 'quarantined', conflict = true, answer = 'conflict'", "in conflict"),
        (
            "state = 'held', held_for = 'closed period', rests_until = 'infinity', answer = 'its invoice is final'",
            "late",
        ),
    ):
        proxy_db.fetch(
            f"""UPDATE reconciler.batch SET {change} FROM reconciler.event
                WHERE event.batch = batch.id AND customer LIKE %s""",
            whose,
        )
    done = reconcile(environ)
    assert {alarm["kind"]: (alarm["extent"], alarm["cost"]) for alarm in done.alarms} == {
        "quarantined": ("2", "2.75"),
        "conflict": ("1", "4"),
        "held": ("1", "8"),
    }
    for kind, who, why, cure in (
        ("quarantined", "(2.75 USD), most of it of refused (2.5 USD), refused too (0.25 USD).", "422 a field", "retry"),
        ("conflict", "(4 USD), most of it of in conflict (4 USD)", "another ledger or proxy", "discard"),
        ("held", "(8 USD), most of it of late (8 USD)", "Why: its invoice is final.", "release --all --move"),
    ):
        message = _message(done.alarms, kind)
        assert [part for part in (who, why, cure) if part not in message] == [], message
