"""A lost ledger is made anew: a pass then sends nothing that Lago counts, and all that it does not."""

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.meters.conftest import window
from tests.rebuild.conftest import look, rebuild, taken
from tests.support import STORES, assert_exact, batches, environment, reconcile


def lose(ledger: Database) -> None:
    ledger.fetch("DROP SCHEMA reconciler CASCADE")


@pytest.mark.parametrize(("store", "properties"), zip(STORES, ("both", "documented", "documented"), strict=True))
def test_after_it_a_pass_sends_only_what_lago_lacks(store: str, properties: str, proxy_db: Database) -> None:
    options, more = STORES[store]
    with Sandbox(**options) as lago:
        if options:
            lago.clickhouse(lag=0)
            more = more | {"RECONCILE_LAG": "0s"}
        environ = environment(proxy_db, lago, RECONCILE_PROPERTIES=properties, RECONCILE_PRECISE_CENTS="true") | more
        proxy_db.insert(*(spend_row(startTime=window(back), spend=1.1e-9 / 3) for back in (2, 3, 3)))
        reconcile(environ, since="5h")
        proxy_db.insert(spend_row(startTime=window(3), spend=0.5), spend_row(startTime=window(2), end_user="globex"))
        reconcile(environ)
        sent = len(lago.events())
        lose(proxy_db)
        proxy_db.insert(spend_row(startTime=window(3), spend=0.25), spend_row(startTime=window(1)))
        lago.clear_requests()

        assert taken(look(environ)) == {"added": sent}
        assert proxy_db.fetch("SELECT to_regnamespace('reconciler') IS NULL") == [(True,)]
        found = rebuild(environ)
        assert (taken(found), found.left["plan"].number) == ({"added": sent}, 2)
        assert batches(lago) == []

        assert reconcile(environ).delivered.accepted == 2
        assert_exact(proxy_db, lago)
        assert taken(rebuild(environ)) == {"known": sent + 2}
