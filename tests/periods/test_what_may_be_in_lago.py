"""An attempt that Lago may have stored is neither held nor moved: it goes again as it was, the same bytes."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, last_period, long_ago
from tests.support import BATCH, counted, environment, let_minutes_pass, reconcile, used


@pytest.fixture
def deduplicating() -> Iterator[Billing]:
    """ClickHouse, where copies count once if they have the same timestamp."""
    with Sandbox(store="clickhouse", deduplication=True) as lago:
        billing = Billing(lago)
        with closing(billing.api):
            yield billing


def _sent_without_an_answer(source: Database, billing: Billing, deduplication: str = "false") -> dict[str, str]:
    billing.subscribe(made=long_ago())
    source.insert(spend_row(startTime=last_period(), spend=0.5))
    environ = environment(source, billing.lago, RECONCILE_DEDUPLICATION=deduplication)
    billing.lago.faults({"kind": "commit_then_500", "path": BATCH, "count": None})
    with pytest.raises(LagoError):
        reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "send"}, since=f"{last_period():%Y-%m-%d}")
    billing.lago.clear_faults()
    let_minutes_pass(source)
    return environ


@pytest.mark.proof
def test_it_is_not_held(proxy_db: Database, billing: Billing) -> None:
    environ = _sent_without_an_answer(proxy_db, billing)
    done = reconcile(environ)
    assert (done.delivered.accepted, done.delivered.held, len(billing.lago.events())) == (1, 0, 1)


@pytest.mark.proof
def test_it_keeps_its_timestamp(proxy_db: Database, deduplicating: Billing) -> None:
    deduplicating.lago.clickhouse(lag=None)
    environ = _sent_without_an_answer(proxy_db, deduplicating, "true")
    done = reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "move"})
    assert done.delivered.accepted == 1
    deduplicating.lago.release()
    assert len({event["timestamp"] for event in deduplicating.lago.events()}) == 1
    assert counted(deduplicating.lago) == used(proxy_db)
