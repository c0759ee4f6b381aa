"""`reconcile close --dry-run` says what there is to bill, and writes nothing."""

from datetime import timedelta
from decimal import Decimal

from tests.closing.conftest import Billing, Clock, closed
from tests.conftest import Database, spend_row
from tests.periods.conftest import long_ago
from tests.support import environment, reconcile

MINUTE = timedelta(minutes=1)


def test_it_foresees_and_writes_nothing(proxy_db: Database, billing: Billing, clock: Clock) -> None:
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago)  # it does not wait for the settle time
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ, since="1h")
    proxy_db.insert(
        spend_row(spend=2, startTime=clock.window - MINUTE),
        spend_row(spend=4, startTime=clock.window + MINUTE),
        spend_row(spend=8, startTime=clock.window + MINUTE, end_user="other"),
    )
    found = closed(environ, dry_run=True)
    assert (found.outcome, found.events, found.cost) == ("would close", 2, Decimal(6))
    for kept in ("event", "closing"):
        assert proxy_db.fetch(f"SELECT FROM reconciler.{kept}") == []
    assert billing.lago.events() == []
