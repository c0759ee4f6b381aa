"""Verification by a role that has exactly what sql/grants/*.sql gives."""

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.support import environment, reconcile
from tests.verify.conftest import ONE, leg, verify

pytestmark = pytest.mark.no_ledger


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

    psql(used_db, "grant_daily_tables", role=ROLE, schema="public")
    assert "may not read" not in str(leg(verify(environ), "a").left_out)
