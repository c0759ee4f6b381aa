"""Settings of a database or a role, and functions planted there, change nothing of what a pass does."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, environment, reconcile

SETTINGS = {
    "search_path": "planted, pg_catalog, public",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "row_security": "on",
    "synchronous_commit": "off",
    "lock_timeout": "1ms",
    "transaction_timeout": "1min",
    "idle_in_transaction_session_timeout": "1min",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "xmlbinary": "hex",
    "client_min_messages": "debug5",
    "constraint_exclusion": "on",
    "plan_cache_mode": "force_generic_plan",
    "enable_hashagg": "off",
    "enable_hashjoin": "off",
    "work_mem": "64kB",
}

PLANTED = """
CREATE SCHEMA planted;
CREATE TABLE planted.called (what text, by text);
GRANT USAGE, CREATE ON SCHEMA planted TO PUBLIC;
GRANT ALL ON planted.called TO PUBLIC;
"""
# Each would answer in Postgres's place if the search path of the database decided, and would leave a trace.
FUNCTIONS = {
    "set_config(text, text, boolean) RETURNS text": "$1",
    "current_setting(text) RETURNS text": "$1",
    "current_setting(text, boolean) RETURNS text": "$1",
    "current_schema() RETURNS name": "'public'",
    "current_database() RETURNS name": "'x'",
    "clock_timestamp() RETURNS timestamptz": "pg_catalog.now()",
    "version() RETURNS text": "pg_catalog.version()",
    "count(bigint) RETURNS bigint": "1",
    "lower(text) RETURNS text": "$1",
    "to_regclass(text) RETURNS regclass": "NULL",
}


def _plant(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(PLANTED.encode())
        for head, answer in FUNCTIONS.items():
            body = f"INSERT INTO planted.called VALUES ('{head.partition('(')[0]}', current_user); SELECT {answer}"
            connection.execute(f"CREATE FUNCTION planted.{head} VOLATILE LANGUAGE sql AS $f$ {body} $f$".encode())


@contextmanager
def _hostile(*databases: Database) -> Iterator[None]:
    """Let the databases have these settings for the `with` block."""
    server = databases[0].server
    with psycopg.connect(server.socket_url(), autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM pg_settings").fetchall()}

        def alter(database: Database, change: str) -> None:
            connection.execute(f"ALTER DATABASE {database.name} {change}".encode())

        for database in databases:
            for name, value in SETTINGS.items():
                if name in known:
                    alter(database, f"SET {name} = {value if ',' in value else repr(value)}")
        yield
        for database in databases:
            alter(database, "RESET ALL")


@pytest.mark.proof
@pytest.mark.no_ledger
def test_settings_and_functions_planted_by_the_databases_owner_change_nothing(
    proxy_db: Database, empty_db: Database, lago: Sandbox
) -> None:
    _plant(proxy_db)
    _plant(empty_db)
    proxy_db.insert(spend_row(spend=0.1), spend_row(spend=0.2, end_user="o'hara \\"), spend_row(end_user=None))

    for ledger in (proxy_db, empty_db):
        lago.reset()
        with _hostile(proxy_db, empty_db):
            exclude = "customer:nobody*,model:NULL"
            reconcile(environment(proxy_db, lago, ledger=ledger, RECONCILE_EXCLUDE=exclude), since="1d")
        assert_exact(proxy_db, lago, ledger=ledger)
        assert len(lago.events()) == 2

    assert proxy_db.fetch("TABLE planted.called") == []
    assert empty_db.fetch("TABLE planted.called") == []
