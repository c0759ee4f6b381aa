"""Passes by a role that has exactly what sql/grants/*.sql gives, on a server where PUBLIC has nothing."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from reconciler.ledger import schema
from reconciler.model.errors import SourceError
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.process import only_object
from tests.support import assert_exact, environment, let_time_pass, reconcile

pytestmark = pytest.mark.no_ledger


def as_role(source: Database, lago: Sandbox, ledger: Database | None = None) -> dict[str, str]:
    environ = environment(source, lago) | {"DATABASE_URL": source.url_of(ROLE, PASSWORD)}
    return environ | ({"RECONCILE_LEDGER_URL": ledger.url_of(ROLE, PASSWORD)} if ledger else {})


def all_kinds_of_looks(environ: dict[str, str], source: Database, ledger: Database) -> None:
    """A first pass, late rows, then a probe and a deep look that find some."""
    reconcile(environ, since="1d")
    for span in ("2 hours", "2 days"):
        late = datetime.now(UTC) - timedelta(hours=5)
        source.insert(spend_row(startTime=late, end_user="late", spend=0.1))
        let_time_pass(ledger, span)
        assert reconcile(environ).tally.rows == 1


def assert_reads_only(source: Database) -> None:
    """See that the role can't write the spend table, nor read or make any other."""
    with psycopg.connect(source.url_of(ROLE, PASSWORD), autocommit=True) as connection:
        for statement in (
            "INSERT INTO \"LiteLLM_SpendLogs\" (request_id) VALUES ('forged')",
            'UPDATE "LiteLLM_SpendLogs" SET spend = 0',
            'DELETE FROM "LiteLLM_SpendLogs"',
            'TRUNCATE "LiteLLM_SpendLogs"',
            'SELECT FROM "LiteLLM_VerificationToken"',
            "CREATE TABLE public.mine ()",
            "CREATE SCHEMA mine",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_select_on_the_table_is_all_that_a_source_needs(
    used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    psql(used_db, "grant_source", role=ROLE, schema="public")
    psql(ledger_db, "grant_ledger", role=ROLE)

    all_kinds_of_looks(as_role(used_db, lago, ledger_db), used_db, ledger_db)

    assert_exact(used_db, lago, ledger=ledger_db)
    assert_reads_only(used_db)
    with (
        psycopg.connect(used_db.url_of(ROLE, PASSWORD)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="temporary"),
    ):
        connection.execute("CREATE TEMP TABLE mine ()")


@pytest.mark.proof
def test_select_on_the_columns_used_is_enough(
    used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    psql(used_db, "grant_source_columns", role=ROLE, schema="public")
    psql(ledger_db, "grant_ledger", role=ROLE)
    environ = as_role(used_db, lago, ledger_db) | {"LAGO_API_CHARGE_BY": "team_id"}

    all_kinds_of_looks(environ, used_db, ledger_db)

    assert_exact(used_db, lago, ledger=ledger_db, customer="team_id")
    assert_reads_only(used_db)
    with (
        psycopg.connect(used_db.url_of(ROLE, PASSWORD)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute('SELECT messages FROM "LiteLLM_SpendLogs"')


@pytest.mark.proof
def test_one_database_needs_both(used_db: Database, lago: Sandbox, psql: Psql) -> None:
    psql(used_db, "grant_source_columns", role=ROLE, schema="public")
    psql(used_db, "grant_ledger", role=ROLE)

    all_kinds_of_looks(as_role(used_db, lago), used_db, used_db)

    assert_exact(used_db, lago)
    assert_reads_only(used_db)
    assert used_db.fetch("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'reconciler'") == [
        (f'"{ROLE}"',)
    ]
    asked = as_role(used_db, lago), "cutover", "--at", f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    assert "no event of LiteLLM's callback" in run(*asked).stderr
    used_db.fetch(f'REVOKE SELECT (model_group) ON "LiteLLM_SpendLogs" FROM "{ROLE}"')
    assert "The role may not read model_group of the spend table" in run(*asked).stderr


@pytest.mark.proof
def test_a_role_of_the_tables_alone_starts_a_meter_over_and_keeps_credits(
    used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    psql(ledger_db, script=schema.ddl())
    psql(ledger_db, "grant_ledger_tables", role=ROLE)
    psql(used_db, "grant_source", role=ROLE, schema="public")
    environ = as_role(used_db, lago, ledger_db)
    reconcile(environ)
    environ["RECONCILE_MODEL_COLUMN"] = "none"
    assert "Nothing was billed yet" in reconcile(environ).adopted[0]
    reconcile(environ, since="1d")

    used_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0')
    let_time_pass(ledger_db, "2 days")
    assert reconcile(environ).tally.frozen_buckets
    ids = [bucket["id"] for bucket in only_object(run(environ, "frozen", "--json"))["frozen"]]
    for decision in ("accept", "undo"):
        done = run(environ, "frozen", decision, *ids, "--reason", "a test")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.proof
def test_the_columns_of_an_older_litellm_are_granted_as_they_are(
    used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    used_db.fetch("DELETE FROM \"LiteLLM_SpendLogs\" WHERE status = 'failure'")
    used_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN status, DROP COLUMN model_group')
    psql(used_db, "grant_source_columns", role=ROLE, schema="public")
    psql(ledger_db, "grant_ledger", role=ROLE)

    reconcile(as_role(used_db, lago, ledger_db), since="1d")

    assert_exact(used_db, lago, ledger=ledger_db)


def test_a_table_in_another_schema(used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql) -> None:
    used_db.fetch('CREATE SCHEMA "Lite LLM"')
    used_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" SET SCHEMA "Lite LLM"')
    psql(used_db, "grant_source", role=ROLE, schema="Lite LLM")
    psql(ledger_db, "grant_ledger", role=ROLE)
    environ = as_role(used_db, lago, ledger_db)

    reconcile(environ | {"DATABASE_URL": environ["DATABASE_URL"] + "?schema=Lite%20LLM"}, since="1d")

    assert_exact(used_db, lago, ledger=ledger_db, schema="Lite LLM")


def test_a_column_that_is_there_and_not_granted_is_refused_and_never_guessed(
    used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    psql(used_db, "grant_source_columns", role=ROLE, schema="public")
    psql(ledger_db, "grant_ledger", role=ROLE)
    for column in ("spend", "end_user", "status"):
        used_db.fetch(f'REVOKE SELECT ({column}) ON "LiteLLM_SpendLogs" FROM "{ROLE}"')
        with pytest.raises(SourceError, match=f'can\'t read "{column}" of "LiteLLM_SpendLogs"'):
            reconcile(as_role(used_db, lago, ledger_db), since="1d")
        used_db.fetch(f'GRANT SELECT ({column}) ON "LiteLLM_SpendLogs" TO "{ROLE}"')
    assert lago.events() == []
