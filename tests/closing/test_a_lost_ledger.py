"""A ledger that is made anew from Lago's events knows what a close has billed."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.closing.conftest import Billing, Clock, closed
from tests.conftest import Database, spend_row
from tests.periods.conftest import long_ago
from tests.rebuild.conftest import rebuild
from tests.support import assert_exact, environment, reconcile

MINUTE = timedelta(minutes=1)


@pytest.mark.proof(seconds=2)
@pytest.mark.no_ledger
def test_a_rebuild_after_a_close(proxy_db: Database, billing: Billing, clock: Clock) -> None:
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s")
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ)
    proxy_db.insert(spend_row(spend=4, startTime=clock.window))
    closed(environ)
    billing.subscribe(plan="better")
    proxy_db.insert(spend_row(spend=8, startTime=clock.window + 8 * MINUTE))
    proxy_db.fetch("DROP SCHEMA reconciler CASCADE")
    clock.reset()
    rebuild(environ)
    reconcile(environ)
    assert (billing.invoiced(), billing.current()) == ([Decimal(4)], Decimal(8))
    assert_exact(proxy_db, billing.lago)
