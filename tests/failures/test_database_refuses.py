"""A source that can't be read: one sentence that names DATABASE_URL, exit 1, and the next good pass is exact."""

import pytest

from reconciler.demo.postgres import free_port
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.failures.conftest import PASSWORD, Fails
from tests.process import run, sentences
from tests.support import assert_exact, environment, reconcile


@pytest.fixture(autouse=True)
def recovers(used_db: Database, lago: Sandbox) -> None:
    """Begin with a healthy meter."""
    reconcile(environment(used_db, lago), since="1d")
    assert_exact(used_db, lago)


def test_a_database_that_can_not_be_reached_is_named_by_its_setting_and_the_reason_said(
    used_db: Database, lago: Sandbox, fails: Fails
) -> None:
    used_db.fetch("CREATE ROLE biller LOGIN PASSWORD 'another'")
    away = f"postgresql://biller:{PASSWORD}@127.0.0.1:{free_port()}/litellm"
    address = " (postgresql://biller@127.0.0.1:"

    wrong_password = fails(environment(used_db, lago, DATABASE_URL=used_db.url_of("biller", PASSWORD)))
    assert wrong_password.startswith(f"DATABASE_URL{address}")
    assert 'refuses the connection: password authentication failed for user "biller"' in wrong_password

    no_such_database = fails(environment(used_db, lago, DATABASE_URL=used_db.server.url("nowhere")))
    assert 'refuses the connection: database "nowhere" does not exist' in no_such_database

    server_down = fails(environment(used_db, lago, DATABASE_URL=away))
    assert server_down.startswith(f"DATABASE_URL{address}")
    assert "can't be reached" in server_down
    assert "Connection refused" in server_down

    ledger_down = fails(environment(used_db, lago, RECONCILE_LEDGER_URL=away))
    assert ledger_down.startswith(f"RECONCILE_LEDGER_URL{address}")

    no_such_schema = fails(environment(used_db, lago, DATABASE_URL=used_db.url + "?schema=elsewhere"))
    assert 'has no table "LiteLLM_SpendLogs" in schema "elsewhere"' in no_such_schema


def test_no_such_table(empty_db: Database, lago: Sandbox, fails: Fails) -> None:
    sentence = fails(environment(empty_db, lago))

    assert 'has no table "LiteLLM_SpendLogs" in schema "public"' in sentence
    assert "?schema=" in sentence


def test_table_without_rights(used_db: Database, empty_db: Database, lago: Sandbox, fails: Fails) -> None:
    used_db.fetch(f"CREATE ROLE biller LOGIN PASSWORD '{PASSWORD}'")

    sentence = fails(environment(used_db, lago, ledger=empty_db, DATABASE_URL=used_db.url_of("biller", PASSWORD)))

    assert "can't read" in sentence
    assert "sql/grants/grant_source.sql" in sentence


def test_a_sentence_on_standard_error_is_all_that_people_see(used_db: Database, lago: Sandbox) -> None:
    finished = run(environment(used_db, lago, DATABASE_URL=used_db.server.url("nowhere")))

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr == f"reconcile: {sentences(finished)[0]}\n"


def test_what_was_written_meanwhile_is_billed_by_the_next_good_pass(
    used_db: Database, lago: Sandbox, fails: Fails
) -> None:
    used_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = spend + 1')
    fails(environment(used_db, lago, DATABASE_URL=used_db.server.url("nowhere")))

    assert reconcile(environment(used_db, lago), since="1d").tally.events_planned > 0
    assert_exact(used_db, lago)
