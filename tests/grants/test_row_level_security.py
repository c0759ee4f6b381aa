"""Where row-level security would hide rows from the role, a pass is refused and says so: it bills all, or it stops."""

import re

import pytest

from reconciler.model.errors import ReconcileError
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.support import assert_exact, environment, reconcile
from tests.verify.conftest import verify

CURE = r"let the role bypass row-level security \(ALTER ROLE … BYPASSRLS\), be the role that owns the table, or"


@pytest.fixture
def granted(used_db: Database, psql: Psql) -> Database:
    """A proxy's database with usage, and a role with the least rights."""
    psql(used_db, "grant_source", role=ROLE, schema="public")
    psql(used_db, "grant_ledger", role=ROLE)
    used_db.fetch("CREATE SCHEMA crm CREATE TABLE crm.subs (customer text, subscription text)")
    used_db.fetch("INSERT INTO crm.subs SELECT 'c-' || n, 'c-' || n FROM generate_series(0, 9) AS n")
    used_db.fetch(f'GRANT USAGE ON SCHEMA crm TO "{ROLE}"; GRANT SELECT ON crm.subs TO "{ROLE}"')
    return used_db


@pytest.mark.no_ledger
def test_row_level_security_is_refused_until_the_role_bypasses_it(granted: Database, lago: Sandbox) -> None:
    environ = environment(
        granted, lago, DATABASE_URL=granted.url_of(ROLE, PASSWORD), RECONCILE_MAPPING="table:crm.subs"
    )
    granted.fetch('ALTER TABLE "LiteLLM_SpendLogs" ENABLE ROW LEVEL SECURITY')
    with pytest.raises(ReconcileError, match=rf'^DATABASE_URL .*"LiteLLM_SpendLogs".*{CURE}'):
        reconcile(environ, since="1d")
    assert lago.events() == []

    granted.fetch('ALTER TABLE "LiteLLM_SpendLogs" DISABLE ROW LEVEL SECURITY')
    granted.fetch("ALTER TABLE crm.subs ENABLE ROW LEVEL SECURITY")
    with pytest.raises(ReconcileError, match=rf'"subs".*{CURE}'):
        reconcile(environ, since="1d")

    granted.fetch("ALTER TABLE crm.subs DISABLE ROW LEVEL SECURITY")
    granted.fetch("ALTER TABLE reconciler.window ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(ReconcileError, match=rf'"window".*{CURE}'):
        reconcile(environ, since="1d")

    granted.fetch('ALTER TABLE "LiteLLM_SpendLogs" ENABLE ROW LEVEL SECURITY')
    granted.fetch("ALTER TABLE crm.subs ENABLE ROW LEVEL SECURITY")
    granted.fetch(f'ALTER ROLE "{ROLE}" BYPASSRLS')
    reconcile(environ, since="1d")
    assert_exact(granted, lago)


@pytest.mark.proof
@pytest.mark.no_ledger
@pytest.mark.parametrize("where", ["one database", "two databases"])
def test_with_the_ledger_elsewhere_dry_runs_and_verification_are_refused_too(
    granted: Database, empty_db: Database, lago: Sandbox, where: str
) -> None:
    environ = environment(granted, lago, DATABASE_URL=granted.url_of(ROLE, PASSWORD))
    if where == "two databases":
        environ["RECONCILE_LEDGER_URL"] = empty_db.url
    reconcile(environ, since="1d")
    sent = lago.events()
    granted.fetch('ALTER TABLE "LiteLLM_SpendLogs" ENABLE ROW LEVEL SECURITY')
    for dry_run in (True, False):
        with pytest.raises(ReconcileError, match=rf'^DATABASE_URL .*"LiteLLM_SpendLogs".*{CURE}'):
            reconcile(environ, since="1d", dry_run=dry_run)
    report = verify(environ, since="1d")
    assert report.exit_code == 1
    [error] = {str(error) for error in report.errors}
    assert re.search(rf'^DATABASE_URL .*"LiteLLM_SpendLogs".*{CURE}', error)
    assert lago.events() == sent
