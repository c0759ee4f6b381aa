"""A ledger is lost after the event code has changed: a new one would bill all once more. Invariants 10 and 11."""

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import STORES, environment, make_metric, reconcile, window


@pytest.mark.parametrize("store", ["postgres", pytest.param([*STORES][1], marks=pytest.mark.proof)])
@pytest.mark.parametrize("since", [None, "1d"], ids=["plain", "since"])
def test_a_first_pass_under_another_code_sends_nothing(
    store: str, since: str | None, proxy_db: Database, other_proxy: Database
) -> None:
    options, more = STORES[store]
    with Sandbox(**options) as lago:
        if options:
            lago.clickhouse(lag=0)
        make_metric(lago, "llm_new")
        rows = [spend_row(startTime=window(back), end_user="acme") for back in (3, 2)]
        proxy_db.insert(*rows)
        reconcile(environment(proxy_db, lago) | more, since="1d")
        other_proxy.insert(*rows)
        environ = environment(other_proxy, lago, LAGO_API_EVENT_CODE="llm_new") | more
        if since is None:  # as if the first pass had begun in the window after those
            reconcile(environ)
            start = window(1)
            other_proxy.fetch("UPDATE reconciler.meter SET start = %s, watermark = %s", start, start)
            other_proxy.insert(spend_row(startTime=start, end_user="acme"))
        events = lago.events()

        stopped = reconcile(environ, since=since)

        assert [alarm["kind"] for alarm in stopped.alarms] == ["foreign"]
        assert stopped.exit_code == 3
        assert lago.events() == events
        said = stopped.alarms[0]["message"]
        assert "under the code" in said
        assert "--code" in said


def test_another_meter_of_the_same_customers_is_none_of_it(proxy_db: Database, other_proxy: Database) -> None:
    with Sandbox() as lago:
        make_metric(lago, "llm_new")
        row = spend_row(startTime=window(3), end_user="acme")
        proxy_db.insert(row)
        reconcile(environment(proxy_db, lago), since="1d")
        other_proxy.insert(row)
        environ = environment(other_proxy, lago, LAGO_API_EVENT_CODE="llm_new", RECONCILE_METER="b")
        assert reconcile(environ, since="1d").exit_code == 0
