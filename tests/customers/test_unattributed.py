"""Usage without a customer is counted and shown, and never sent."""

from decimal import Decimal

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, counted, environment, reconcile


def test_null_empty_and_blank_are_nobody(proxy_db: Database, lago: Sandbox) -> None:
    nobody = [None, "", " ", "   ", "\t", "\r\n", " \v\f "]
    rows = [spend_row(end_user=customer, spend=1e-07) for customer in nobody]
    proxy_db.insert(*rows, spend_row(), spend_row(end_user=None, spend=0.0, status="failure"))
    environ = environment(proxy_db, lago)
    summary = reconcile(environ, since="2h")
    assert counted(lago).keys() == {("acme", "openai/gpt-4o-mini")}
    assert summary.tally.unattributed_rows == len(nobody), "a failure that cost nothing is nobody's loss"
    assert summary.tally.unattributed_cost == Decimal("0.0000007")
    assert summary.as_json()["unattributed_cost"] == "0.0000007"
    assert summary.exit_code == 0
    assert_exact(proxy_db, lago)
    assert summary.balance is not None
    assert (summary.balance.unattributed_rows, summary.balance.unattributed_cost) == (
        len(nobody),
        Decimal("0.0000007"),
    )


def test_a_customer_found_later_is_billed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(request_id="late", end_user=None))
    environ = environment(proxy_db, lago)
    assert reconcile(environ, since="2h").tally.unattributed_rows == 1
    proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET end_user = 'acme' WHERE request_id = 'late'""")
    summary = reconcile(environ)
    assert (summary.tally.unattributed_rows, summary.delivered.accepted) == (0, 1)
    assert summary.balance is not None
    assert summary.balance.unattributed_rows == 0
    assert_exact(proxy_db, lago)
