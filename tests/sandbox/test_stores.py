"""What the two stores keep of a request that fails."""

from collections.abc import Iterator

import pytest

from reconciler.sandbox.stores.clickhouse import ClickHouseStore
from reconciler.sandbox.stores.postgres import PostgresStore
from reconciler.sandbox.stores.store import Draft, EventFilter, Store

ALL = EventFilter("organization")
DRAFT = Draft("organization", "txn", "sub", "code", 0, None, {"a": "1"}, 0)


@pytest.fixture(params=["postgres", "clickhouse"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    store = PostgresStore() if request.param == "postgres" else ClickHouseStore(now=lambda: 1)
    yield store
    store.close()


def seen(store: Store) -> tuple[int, int, int, bool]:
    counted = list(store.counted(ALL, dead_letters=True))
    return len(list(store.events(ALL))), store.count(ALL), len(counted), store.event("organization", "txn") is not None


def test_what_raises_in_a_transaction_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.add([DRAFT])
            with store.transaction():
                store.add([DRAFT._replace(transaction_id="inner")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen(store) == (0, 0, 0, False)
