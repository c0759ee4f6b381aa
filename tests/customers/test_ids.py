"""A customer's id is any text: each is billed as it is, and none touches another."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.sandbox import Sandbox
from tests.conftest import Database, new_database, spend_row
from tests.support import assert_exact, counted, environment, reconcile, start_over

STRANGE = [
    "acme", "Acme", "ACME", " acme", "acme ", "\tacme", "acme\n",
    "o'hara", '"quoted"', "back\\slash", "\\", "'; DROP TABLE reconciler.event; --", "%s %(name)s {id} {{}} $1",
    "null", "NULL", "None", "0", "-1", "1e5", "true", "[]", '{"id": 1}', "a,b", "a:b", "\\N", "\\.", "</script>",
    "🦊", "👩‍👩‍👧", "café", "cafe\u0301", "مرحبا", "\u202eright to left", "\u200b", "\ufeff", "\u2028", "\uffff",
    "\x01", "\x07bell", "\x1b[31mred", "\x7f", "\x85",
    ".", "..", "../..", "a/b", "/", "a.json", "?page=2", "#", "a;b", "%2F", "%", "+", "a b", "http://example.com/",
    "x" * 2048, "é" * 1024,
]  # fmt: skip

ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)


@pytest.mark.parametrize("databases", ["one", "two"])
def test_strange_ids_are_billed_as_they_are(proxy_db: Database, lago: Sandbox, databases: str) -> None:
    with new_database(proxy_db.server) as other:
        ledger = other if databases == "two" else proxy_db
        # Of three hours ago, so that Lago is asked for their billing periods as well.
        fields = {"startTime": datetime.now(UTC) - timedelta(hours=3)}
        rows = [spend_row(end_user=who, prompt_tokens=number, **fields) for number, who in enumerate(STRANGE, 1)]
        proxy_db.insert(*rows)
        summary = reconcile(environment(proxy_db, lago, ledger=ledger), since="4h")
        assert summary.exit_code == 0
        assert {customer: usage.input_tokens for (customer, _), usage in counted(lago).items()} == {
            customer: number for number, customer in enumerate(STRANGE, 1)
        }
        assert_exact(proxy_db, lago, ledger=ledger)


@pytest.mark.proof
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(customers=st.lists(ids, min_size=1, max_size=30))
def test_any_ids_are_billed_as_they_are(proxy_db: Database, lago: Sandbox, customers: list[str]) -> None:
    start_over(lago, proxy_db)
    proxy_db.insert(*(spend_row(end_user=customer) for customer in customers))
    summary = reconcile(environment(proxy_db, lago), since="2h")
    blank = sum(not customer.strip(" \t\n\v\f\r") for customer in customers)
    assert summary.tally.unattributed_rows == blank
    assert sum(usage.requests for usage in counted(lago).values()) == len(customers) - blank
    assert {customer for customer, _ in counted(lago)} == {text for text in customers if text.strip(" \t\n\v\f\r")}
