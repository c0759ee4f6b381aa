"""The spend table may be in a schema of its own, as Prisma's `?schema=` says."""

import pytest

from reconciler.model.errors import SourceError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, new_database, spend_row
from tests.support import assert_exact, counted, environment, reconcile


@pytest.mark.parametrize("databases", ["one", "two"])
def test_the_schema_of_the_url_is_read(proxy_db: Database, lago: Sandbox, databases: str) -> None:
    schema, in_url = "Lite LLM", "Lite%20LLM"
    with new_database(proxy_db.server) as other:
        ledger = other if databases == "two" else proxy_db
        proxy_db.insert(spend_row(), spend_row(end_user="o'hara"))
        proxy_db.fetch(f'ALTER SCHEMA public RENAME TO "{schema}"')
        proxy_db.fetch("CREATE SCHEMA public")
        proxy_db.fetch(f'CREATE TABLE public."LiteLLM_SpendLogs" (LIKE "{schema}"."LiteLLM_SpendLogs")')
        proxy_db.insert(spend_row(end_user="of another proxy"))

        separator = "&" if "?" in proxy_db.url else "?"
        url = f"{proxy_db.url}{separator}schema={in_url}&connection_limit=10&pool_timeout=20"
        environ = environment(proxy_db, lago, ledger=ledger, DATABASE_URL=url)
        reconcile(environ | ({} if ledger is other else {"RECONCILE_LEDGER_URL": url}), since="2h")
        assert {customer for customer, _ in counted(lago)} == {"acme", "o'hara"}
        assert_exact(proxy_db, lago, ledger=ledger, schema=schema)
        assert ledger.fetch("SELECT source ->> 'schema' FROM reconciler.meter") == [(schema,)]


def test_a_schema_without_the_table_is_said(proxy_db: Database, lago: Sandbox) -> None:
    separator = "&" if "?" in proxy_db.url else "?"
    environ = environment(proxy_db, lago, DATABASE_URL=f"{proxy_db.url}{separator}schema=litellm")
    with pytest.raises(SourceError, match=r'has no table "LiteLLM_SpendLogs" in schema "litellm": .*\?schema='):
        reconcile(environ)
