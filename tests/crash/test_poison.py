"""Events on which Lago chokes are found by halving and quarantined; they stop nobody else's billing."""

from datetime import UTC, datetime, timedelta
from itertools import count, islice

import pytest

from reconciler.model.identity import transaction_id
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    CODE,
    EVENTS,
    assert_exact,
    customers,
    environment,
    reconcile_while_undecided,
    states,
)


def poison(lago: Sandbox, *customers: str) -> None:
    """Let every batch with an event of these customers end in a 500."""
    lago.faults(
        *(
            {"kind": "status", "count": None, "external_subscription_id": name, "path": BATCH, "method": "POST"}
            for name in customers
        )
    )


@pytest.mark.proof
def test_only_the_poison_of_a_batch_is_quarantined(proxy_db: Database, lago: Sandbox) -> None:
    customers(proxy_db, 120)
    proxy_db.insert(spend_row(end_user="arsenic"), spend_row(end_user="hemlock"))
    poison(lago, "arsenic", "hemlock")

    summary = reconcile_while_undecided(environment(proxy_db, lago), proxy_db, since="2h")

    assert summary.exit_code == 3
    assert [alarm["kind"] for alarm in summary.alarms] == ["quarantined"]
    quarantined = proxy_db.fetch(f"SELECT customer, answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert {customer for customer, _ in quarantined} == {"arsenic", "hemlock"}
    assert all("500" in answer for _, answer in quarantined)
    assert_exact(proxy_db, lago, where="end_user NOT IN ('arsenic', 'hemlock')", undelivered=2)


@pytest.mark.proof
def test_poison_that_comes_first_does_not_keep_the_rest_of_its_batch_from_lago(
    proxy_db: Database, lago: Sandbox
) -> None:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)

    def id_of(customer: str) -> str:
        return transaction_id("default", CODE, "end_user_id", start, 900, customer, "openai/gpt-4o-mini", 0)

    normal = [f"customer {number}" for number in range(6)]
    first = min(map(id_of, normal))
    earlier = list(islice((name for number in count() if id_of(name := f"arsenic {number}") < first), 3))
    proxy_db.insert(*(spend_row(startTime=start, end_user=customer) for customer in [*normal, *earlier]))
    poison(lago, *earlier)

    summary = reconcile_while_undecided(environment(proxy_db, lago), proxy_db, since="3h")

    assert summary.exit_code == 3
    assert states(proxy_db)["quarantined"] == 3
    assert_exact(proxy_db, lago, where="end_user NOT LIKE 'arsenic%'", undelivered=3)
