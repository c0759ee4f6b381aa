"""The ledger's schema: made by a pass or by a DBA, the same; upgraded once, never downgraded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from reconciler.ledger import migrations, schema, tables
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LedgerError
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database
from tests.grants import versions
from tests.grants.conftest import PASSWORD, ROLE, Psql
from tests.process import sentences
from tests.support import assert_exact, backlog, environment, let_minutes_pass, reconcile

# Whatever of a schema can be told from the catalog, constraints, indexes and comments included.
pytestmark = pytest.mark.no_ledger

SHAPE = """
SELECT 'column', table_name, column_name, concat_ws(' ', data_type, udt_name, is_nullable, column_default, is_identity)
FROM information_schema.columns WHERE table_schema = 'reconciler'
UNION ALL
SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'reconciler'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'reconciler'::regnamespace
UNION ALL
SELECT 'comment', relname, '', obj_description(oid) FROM pg_class WHERE relnamespace = 'reconciler'::regnamespace
ORDER BY 1, 2, 3
"""


def test_the_newest_migration_is_the_one_that_the_program_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_migrations_make_exactly_the_tables_that_the_program_uses(empty_db: Database, lago: Sandbox) -> None:
    open_ledger(load_settings(environ=environment(empty_db, lago))).upgrade()

    engine = create_engine("postgresql+psycopg://", creator=empty_db.connect)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == tables.SCHEMA,
                "version_table_schema": tables.SCHEMA,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


@pytest.mark.proof
def test_a_dba_makes_the_same_ledger_and_the_role_needs_no_create(
    used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    printed = run({}, "ledger", "upgrade", "--sql")
    assert printed.returncode == 0
    assert printed.stderr == ""

    psql(ledger_db, script=printed.stdout)
    psql(ledger_db, "grant_ledger_tables", role=ROLE)
    psql(used_db, "grant_source", role=ROLE, schema="public")
    by_hand = ledger_db.fetch(SHAPE)
    reconcile(
        environment(used_db, lago)
        | {
            "DATABASE_URL": used_db.url_of(ROLE, PASSWORD),
            "RECONCILE_LEDGER_URL": ledger_db.url_of(ROLE, PASSWORD),
        },
        since="1d",
    )

    assert_exact(used_db, lago, ledger=ledger_db)
    open_ledger(load_settings(environ=environment(used_db, lago))).upgrade()
    assert used_db.fetch(SHAPE) == by_hand
    assert len(by_hand) > 60


def test_upgrades_at_the_same_time_make_one_ledger(empty_db: Database, lago: Sandbox) -> None:
    settings = load_settings(environ=environment(empty_db, lago))

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: open_ledger(settings).upgrade(), range(4)))

    assert sorted(done) == [False, False, False, True]
    assert empty_db.fetch("SELECT version_num FROM reconciler.alembic_version") == [(schema.HEAD,)]


def test_the_command_says_what_it_did(empty_db: Database, lago: Sandbox) -> None:
    environ = {"DATABASE_URL": environment(empty_db, lago)["DATABASE_URL"]}

    first, second = run(environ, "ledger", "upgrade"), run(environ, "ledger", "upgrade")

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == f"The ledger is now at version {schema.HEAD}.\n"
    assert second.stdout == f"The ledger is already at version {schema.HEAD}.\n"


@pytest.mark.proof
def test_a_ledger_of_an_earlier_version_is_upgraded_by_a_pass_and_its_open_attempts_stay_open(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    environ = backlog(proxy_db, clickhouse, 3)
    shape = proxy_db.fetch(SHAPE)
    versions.go_back(proxy_db, "0001")
    proxy_db.fetch(
        "UPDATE reconciler.event SET attempts = 1, attempted_at = clock_timestamp() WHERE customer LIKE '%%2'"
    )

    told = run(environ, "status")
    assert told.returncode == 1
    [sentence] = sentences(told)
    assert sentence.startswith(f"The ledger is at version 0001, this program needs {schema.HEAD}: run `reconcile` once")

    assert reconcile(environ).delivered.accepted == 2, "what may have been sent is read back first"
    assert proxy_db.fetch(SHAPE) == shape
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, clickhouse)


@pytest.mark.parametrize("version", ["0001", pytest.param("0002", marks=pytest.mark.proof(seconds=2))])
def test_a_dba_upgrades_an_earlier_ledger_for_a_role_that_may_not(
    version: str, used_db: Database, ledger_db: Database, lago: Sandbox, psql: Psql
) -> None:
    psql(ledger_db, script=schema.ddl())
    shape = ledger_db.fetch(SHAPE)
    psql(ledger_db, "grant_ledger_tables", role=ROLE)
    versions.go_back(ledger_db, version)
    ledger_db.fetch(f'GRANT USAGE ON SCHEMA reconciler TO "{ROLE}"')
    ledger_db.fetch(f'GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA reconciler TO "{ROLE}"')
    environ = environment(used_db, lago) | {"RECONCILE_LEDGER_URL": ledger_db.url_of(ROLE, PASSWORD)}

    refused = run(environ, "--since", "1d")
    assert refused.returncode == 1
    [sentence] = sentences(refused)
    assert sentence == (
        f"The ledger is at version {version}, this program needs {schema.HEAD}, and this role may not change it: let "
        f"its owner run `reconcile ledger upgrade`, or a DBA what `reconcile ledger upgrade --sql --from {version}` "
        "prints and then sql/grants/grant_ledger_tables.sql. Nothing was done."
    )

    printed = run({}, "ledger", "upgrade", "--sql", "--from", version)
    assert (printed.returncode, printed.stderr) == (0, "")
    psql(ledger_db, script=printed.stdout)
    psql(ledger_db, "grant_ledger_tables", role=ROLE)
    assert ledger_db.fetch(SHAPE) == shape
    assert run(environ, "--since", "1d").returncode == 0
    assert_exact(used_db, lago, ledger=ledger_db)


def test_the_way_from_a_version_that_is_not_there_is_refused(empty_db: Database, lago: Sandbox) -> None:
    assert run({}, "ledger", "upgrade", "--sql", "--from", schema.HEAD).stdout == (
        f"-- The ledger is at version {schema.HEAD} already.\n"
    )
    unknown = run({}, "ledger", "upgrade", "--sql", "--from", "7")
    assert unknown.returncode == 2
    [sentence] = sentences(unknown)
    assert sentence.startswith("--from: there is no version 7 of the ledger; there are 0001, ")
    alone = run(environment(empty_db, lago), "ledger", "upgrade", "--from", "0001")
    assert alone.returncode == 2
    assert sentences(alone) == ["--from only says what --sql prints: add --sql, or leave --from out."]


def test_a_ledger_newer_than_the_program_is_refused(used_db: Database, lago: Sandbox) -> None:
    environ = environment(used_db, lago)
    reconcile(environ, since="1d")
    used_db.fetch("UPDATE reconciler.alembic_version SET version_num = '9999'")

    finished = run(environ)
    assert finished.returncode == 1
    assert sentences(finished)[0].startswith(f"The ledger is at version 9999, newer than this program's {schema.HEAD}")
    with pytest.raises(LedgerError, match="newer"):
        open_ledger(load_settings(environ=environ)).upgrade()
    assert used_db.fetch("SELECT version_num FROM reconciler.alembic_version") == [("9999",)]
