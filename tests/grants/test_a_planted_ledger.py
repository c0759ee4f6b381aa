"""A ledger that somebody else owns, who could drop or change it, is not used."""

import pytest

from reconciler.ledger import schema
from reconciler.model.errors import LedgerError
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.support import assert_exact, environment, reconcile

pytestmark = pytest.mark.no_ledger


@pytest.fixture
def environ(used_db: Database, lago: Sandbox, psql: Psql) -> dict[str, str]:
    """The settings of a role that may read the spend table, which the role `proxy` owns."""
    psql(used_db, "grant_source", role=ROLE, schema="public")
    used_db.fetch("CREATE ROLE proxy; GRANT USAGE ON SCHEMA public TO proxy")
    used_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" OWNER TO proxy')
    used_db.fetch(f'GRANT CONNECT, TEMPORARY ON DATABASE {used_db.name} TO "{ROLE}"')
    return environment(used_db, lago, DATABASE_URL=used_db.url_of(ROLE, PASSWORD))


def test_the_grant_fails_where_somebody_else_has_made_the_schema(
    used_db: Database, psql: Psql, environ: dict[str, str]
) -> None:
    used_db.fetch("CREATE SCHEMA reconciler AUTHORIZATION proxy")
    with pytest.raises(AssertionError, match='The schema "reconciler" is there and belongs to "proxy"'):
        psql(used_db, "grant_ledger", role=ROLE)

    used_db.fetch("DROP SCHEMA reconciler")
    psql(used_db, "grant_ledger", role=ROLE)
    psql(used_db, "grant_ledger", role=ROLE)  # again: it is the role's
    reconcile(environ, since="1d")


def test_a_pass_makes_no_ledger_in_a_schema_of_the_proxys_role(used_db: Database, environ: dict[str, str]) -> None:
    used_db.fetch("CREATE SCHEMA reconciler AUTHORIZATION proxy")
    used_db.fetch(f'GRANT ALL ON SCHEMA reconciler TO "{ROLE}"')

    with pytest.raises(LedgerError, match='schema reconciler belongs to the role "proxy", who could change or drop'):
        reconcile(environ, since="1d")
    assert used_db.fetch("SELECT to_regclass('reconciler.event')") == [(None,)]


@pytest.mark.proof
def test_tables_of_a_dba_are_used_unless_he_owns_the_spend_table(
    used_db: Database, lago: Sandbox, psql: Psql, environ: dict[str, str]
) -> None:
    psql(used_db, script=schema.ddl())
    psql(used_db, "grant_ledger_tables", role=ROLE)
    used_db.fetch("CREATE ROLE dba")
    _give(used_db, "dba")
    reconcile(environ, since="1d")
    assert_exact(used_db, lago)

    used_db.fetch("ALTER TABLE reconciler.batch OWNER TO proxy")
    with pytest.raises(LedgerError, match=r'table reconciler\.batch belongs to the role "proxy"'):
        reconcile(environ)

    _give(used_db, "proxy")
    with pytest.raises(LedgerError, match='schema reconciler belongs to the role "proxy"'):
        reconcile(environ)

    _give(used_db, f'"{ROLE}"')
    reconcile(environ)


def _give(database: Database, role: str) -> None:
    """Give the schema and all that is in it to a role."""
    database.fetch(f"ALTER SCHEMA reconciler OWNER TO {role}")
    things = database.fetch(
        "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'reconciler'::regnamespace "
        "AND relkind IN ('r', 'S') AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid "
        "AND deptype = 'i')"
    )
    for (thing,) in things:
        database.fetch(f"ALTER TABLE {thing} OWNER TO {role}")
