"""Passes and repairs at once, while Lago loses messages: in the end everything is billed, once."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import STORES, assert_exact, environment, let_minutes_pass, reconcile
from tests.verify.conftest import is_open, verify

ROUNDS = 4


@pytest.mark.proof(seconds=10)
@pytest.mark.parametrize("store", ["clickhouse", "clickhouse, deduplicating"])
def test_passes_and_repairs_at_once(store: str, proxy_db: Database) -> None:
    options, more = STORES[store]
    seeded = random.Random(7)
    with Sandbox(**options) as lago:
        environ = environment(proxy_db, lago, RECONCILE_LAG="0s") | more
        lago.clickhouse(lag=0)
        reconcile(environ, since="3h")

        def customer() -> str:
            return f"customer {seeded.randrange(6)}"

        repaired = 0
        for _ in range(ROUNDS):
            lago.clickhouse(losses=[{"external_subscription_id": customer(), "count": 2} for _ in range(3)])
            proxy_db.insert(*(spend_row(end_user=customer(), spend=seeded.random()) for _ in range(8)))
            with ThreadPoolExecutor(4) as pool:
                done = [pool.submit(reconcile, environ) for _ in range(2)]
                repairs = [pool.submit(verify, environ, since, repair=True) for since in (None, "3h")]
            mended = [each.result().mended for each in repairs]
            repaired += sum(each.again.events for each in mended if each)
            assert all(each.result() for each in done)
            let_minutes_pass(proxy_db)
        assert repaired

        lago.clickhouse(losses=[])
        proxy_db.insert(spend_row())  # Lago shows it, and so that it has lost what it took before
        for _ in range(3):
            reconcile(environ)
            let_minutes_pass(proxy_db)
            verify(environ, "3h", repair=True)
            let_minutes_pass(proxy_db)
        assert not is_open(verify(environ, "3h"))
        assert_exact(proxy_db, lago)
