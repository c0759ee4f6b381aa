"""A Lago that takes fewer events at once than usual."""

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import assert_exact, customers, environment, reconcile


def test_batches_are_halved_until_lago_takes_them(proxy_db: Database) -> None:
    customers(proxy_db, 130)

    with Sandbox(batch_max_length=10) as lago:
        summary = reconcile(environment(proxy_db, lago), since="2h")

        assert summary.exit_code == 0
        assert summary.delivered.accepted == 130
        assert_exact(proxy_db, lago)
        taken = [request["events"] for request in lago.requests() if request["status"] == 200 and request["events"]]
        assert sum(taken) == 130
        assert max(taken) <= 10
