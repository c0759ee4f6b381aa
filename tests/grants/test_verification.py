"""Verification by a role that has exactly what sql/grants/*.sql gives."""

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.process import only_object, sentences
from tests.support import environment, reconcile
from tests.verify.conftest import ONE, leg, verify

pytestmark = pytest.mark.no_ledger


@pytest.mark.proof
def test_the_least_role_verifies_and_reads_the_daily_table_once_that_is_granted(
    used_db: Database, lago: Sandbox, psql: Psql
) -> None:
    psql(used_db, "grant_source_columns", role=ROLE, schema="public")
    psql(used_db, "grant_ledger", role=ROLE)
    environ = environment(used_db, lago) | {"DATABASE_URL": used_db.url_of(ROLE, PASSWORD)}
    reconcile(environ, since="1d")
    report = verify(environ)
    assert (leg(report, "b").rate, leg(report, "c").rate, report.verified_until) == (ONE, ONE, report.until)
    assert "may not read" in str(leg(report, "a").left_out)

    [explained] = only_object(run(environ, "explain", "c-1", "--json"))["meters"]
    assert (explained["total"]["requests"], explained["total"]["differences"]) == (12, [])
    of_event = "explain", "c-1", "--event", explained["events"][0]["transaction_id"]
    assert only_object(run(environ, *of_event, "--json"))["rows"][0]["request_id"].startswith("chatcmpl-")
    used_db.fetch(f'REVOKE SELECT (request_id) ON "LiteLLM_SpendLogs" FROM "{ROLE}"')
    refused = run(environ, *of_event)
    assert (refused.returncode, 'can\'t read "request_id"' in sentences(refused)[0]) == (1, True)

    psql(used_db, "grant_daily_tables", role=ROLE, schema="public")
    assert "may not read" not in str(leg(verify(environ), "a").left_out)
