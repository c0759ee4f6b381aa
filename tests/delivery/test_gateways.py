"""A gateway in front of Lago that refuses says nothing of our events: none is quarantined for it."""

import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import EVENTS, assert_exact, customers, environment, let_minutes_pass, reconcile


@pytest.mark.parametrize("status", [400, 413])
def test_its_error_page_leaves_everything_planned(proxy_db: Database, lago: Sandbox, status: int) -> None:
    customers(proxy_db, 8)
    page = {"headers": {"content-type": "text/html"}, "body": "<html>no</html>"}
    lago.faults({"kind": "status", "status": status, "count": None, "path": "/api/v1/events/batch"} | page)
    with pytest.raises(LagoError, match=f"{status}.*All events stay planned"):
        reconcile(environment(proxy_db, lago), since="3h")
    assert proxy_db.fetch(f"SELECT DISTINCT state FROM {EVENTS}") == [("planned",)]
    lago.clear_faults()
    let_minutes_pass(proxy_db)
    reconcile(environment(proxy_db, lago))
    assert_exact(proxy_db, lago)
