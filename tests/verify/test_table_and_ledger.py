"""Leg b: what the spend table says beside what is billed, exact, and each difference has its name."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import environment, reconcile
from tests.verify.conftest import ONE, code, kinds, leg, verify


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def test_what_is_billed_is_captured_to_the_last_decimal(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    elsewhere = None if ledger is proxy_db else ledger
    environ = environment(proxy_db, lago, ledger=elsewhere)
    spend = 1.2345678901234567e-05
    proxy_db.insert(*(spend_row(spend=spend, end_user=f"c{number}") for number in range(3)))
    proxy_db.insert(spend_row(end_user="", spend=0.5), spend_row(spend=-1.0))
    reconcile(environ, since="5h")
    report = verify(environ)
    found = leg(report, "b")
    assert (found.rate, found.reading, found.drifts, code(report)) == (ONE, "at 1", False, 0)
    assert found.sides.expected == 3 * Decimal(repr(spend))
    assert kinds(found) == {"unattributed": 1, "suspect": 1}
    assert report.verified_until == report.until


@pytest.mark.proof
def test_a_late_row_is_not_billed_yet(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=2.0, startTime=hours_ago(5)))
    reconcile(environ, since="6h")
    proxy_db.insert(spend_row(spend=1.0, startTime=hours_ago(5), end_user="late"))
    report = verify(environ)
    found = leg(report, "b")
    assert kinds(found) == {"not billed yet": 1}
    assert [(each.customer, each.amount) for each in found.worst] == [("late", Decimal(1))]
    assert (found.reading, found.rate_shown, code(report)) == ("below 1", "0.666667", 3)
    assert report.verified_until is None or report.verified_until <= hours_ago(5)
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.event") == [(1,)]
    reconcile(environ, since="6h")
    assert code(verify(environ)) == 0


def test_what_the_next_pass_bills_is_no_drift(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=2.0))
    reconcile(environ, since="6h")
    proxy_db.insert(spend_row(spend=1.0, end_user="late"))
    report = verify(environ)
    assert (kinds(leg(report, "b")), code(report)) == ({"not billed yet, next pass": 1}, 0)


def test_a_row_moved_to_another_customer_differs_though_the_sums_agree(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=2.0, startTime=hours_ago(5)))
    reconcile(environ, since="6h")
    proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET end_user = 'globex'""")
    report = verify(environ)
    found = leg(report, "b")
    assert (found.rate, kinds(found), code(report)) == (ONE, {"not billed yet": 1, "frozen": 1}, 3)
    assert {each.customer: each.amount for each in found.worst} == {"acme": Decimal(-2), "globex": Decimal(2)}


def test_a_customer_that_the_mapping_lacks(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.fetch("CREATE TABLE mapped (customer text, subscription text)")
    environ = environment(proxy_db, lago, RECONCILE_MAPPING="table:public.mapped")
    proxy_db.insert(spend_row(spend=2.0))
    reconcile(environ, since="6h")
    report = verify(environ)
    assert (kinds(leg(report, "b")), code(report)) == ({"unmapped": 1}, 3)


def test_what_retention_deleted_is_no_loss(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=2.0, startTime=hours_ago(5)), spend_row(spend=1.0))
    reconcile(environ, since="6h")
    proxy_db.fetch("""DELETE FROM "LiteLLM_SpendLogs" WHERE spend = 2""")
    before = proxy_db.fetch("SELECT purge_mark FROM reconciler.meter")
    report = verify(environ)
    found = leg(report, "b")
    assert (found.rate, kinds(found), code(report)) == (ONE, {"purged": 1}, 0)
    assert proxy_db.fetch("SELECT purge_mark FROM reconciler.meter") == before, "it changes nothing"


@pytest.mark.proof
def test_a_span(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=2.0, startTime=hours_ago(5)), spend_row(spend=1.0))
    reconcile(environ, since="6h")
    for since, until, captured in (("6h", "3h", 2), ("3h", None, 1), (None, "3h", 2)):
        assert leg(verify(environ, since, until, dry_run=True), "b").sides.expected == captured
