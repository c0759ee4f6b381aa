"""The doctor, run by the least role: what it needs is what passes need, and what lacks is said."""

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.process import only_object, run
from tests.support import environment, reconcile


def marks(environ: dict[str, str]) -> dict[str, str]:
    """Each check of the source and the ledger that is not good."""
    checks = only_object(run(environ, "doctor", "--json"))["checks"]
    return {each["check"]: each["says"] for each in checks if each["station"] != "Lago" and each["mark"] != "good"}


@pytest.mark.proof
@pytest.mark.no_ledger
def test_the_least_role_is_enough_for_the_doctor(used_db: Database, lago: Sandbox, psql: Psql) -> None:
    environ = environment(used_db, lago) | {"DATABASE_URL": used_db.url_of(ROLE, PASSWORD)}
    used_db.fetch(f'GRANT CONNECT ON DATABASE {used_db.name} TO "{ROLE}"')
    used_db.fetch(f'GRANT USAGE ON SCHEMA public TO "{ROLE}"')
    lacking = marks(environ)
    assert "SELECT on it is not granted" in lacking["columns"]
    assert "may not make temporary tables" in lacking["rights"]
    assert lacking["rows"] == "not asked, since 'columns' failed."

    psql(used_db, "grant_source", role=ROLE, schema="public")
    psql(used_db, "grant_ledger", role=ROLE)
    assert list(marks(environ)) == ["passes"]  # none has run yet
    reconcile(environ, since="1d")
    assert marks(environ) == {}

    used_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" ENABLE ROW LEVEL SECURITY')
    hidden = marks(environ)
    assert hidden["row-level security"].startswith("It is on for this role")
    assert hidden["rows"] == "not asked, since 'row-level security' failed."
    assert "passes" not in hidden
