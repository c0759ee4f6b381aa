"""Names that no event can hold stop nobody else's billing: their rows are suspect, counted and shown."""

from collections.abc import Iterator

import psycopg
import pytest

from reconciler.demo.litellm import apply_migrations
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, counted, environment, reconcile, window

SEEN, LARGE = 90_000_000, 5_000_000
"""Bytes: what was seen in the field, and somewhat more than an event can hold."""


@pytest.mark.proof
def test_a_name_of_many_megabytes_is_suspect(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(team_id="t"), spend_row(team_id="huge"), spend_row(model="huge"))
    for column, size in (("team_id", SEEN), ("model", LARGE)):
        proxy_db.fetch(f"""UPDATE "LiteLLM_SpendLogs" SET {column} = repeat('x', {size}) WHERE {column} = 'huge'""")

    done = reconcile(environment(proxy_db, lago, ledger=ledger, LAGO_API_CHARGE_BY="team_id"), since="1d")

    assert (done.tally.suspect_rows, done.delivered.accepted) == (2, 1)
    assert [alarm["kind"] for alarm in done.alarms] == ["suspect"]
    assert_exact(proxy_db, lago, ledger=ledger, customer="team_id", where="team_id = 't' AND length(model) < 100")


@pytest.fixture
def bytes_db(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A proxy's database whose text is bytes of any kind."""
    with psycopg.connect(postgres.socket_url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE of_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
        connection.execute("ALTER DATABASE of_bytes SET client_encoding = 'UTF8'")
        apply_migrations(postgres.url("of_bytes"))
        yield Database(postgres, "of_bytes")
        connection.execute("DROP DATABASE of_bytes WITH (FORCE)")


@pytest.mark.parametrize("databases", ["one", pytest.param("two", marks=pytest.mark.proof(seconds=2))])
def test_names_that_are_no_text_are_suspect(
    bytes_db: Database, empty_db: Database, lago: Sandbox, databases: str
) -> None:
    broken = [
        rb"\xff", rb"\xc0\xaf", rb"\xe2\x82", rb"\xed\xa0\x80", rb"\xf4\x90\x80\x80", rb"\x80", rb"a\xf0\x9f\xa6",
    ]  # fmt: skip
    good = ["plain", "füchse, GmbH", "🦊", "€", "\u0800\ud7ff\ue000\U0010ffff", " \u2028x"]
    ledger = empty_db if databases == "two" else bytes_db
    bytes_db.insert(*(spend_row(end_user=name) for name in good), *(spend_row(request_id=f"{n}") for n in range(7)))
    with bytes_db.connect() as connection:
        connection.execute("SET client_encoding = 'SQL_ASCII'")
        for number, name in enumerate(broken):
            rename = b"""UPDATE "LiteLLM_SpendLogs" SET end_user = E'%s' WHERE request_id = '%d'""" % (name, number)
            connection.execute(rename)

    done = reconcile(environment(bytes_db, lago, ledger=ledger), since="1d")

    assert (done.tally.suspect_rows, done.delivered.accepted) == (len(broken), len(good))
    assert {customer for customer, _ in counted(lago)} == set(good)


def test_times_that_no_calendar_has_stop_nobody(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    times = ["-infinity", "infinity", "4713-01-01 BC", "0044-03-15 BC", "9999-12-31 23:59", "294276-12-31"]
    proxy_db.insert(spend_row(startTime=window(2)), *(spend_row(request_id=time) for time in times))
    proxy_db.fetch(
        """UPDATE "LiteLLM_SpendLogs" SET "startTime" = request_id::timestamp WHERE request_id !~ 'chatcmpl'"""
    )
    environ = environment(proxy_db, lago, ledger=ledger)

    for since in ("1970-01-01", None):
        done = reconcile(environ, since=since)
        assert (done.alarms, done.balance.planned_events if done.balance else None) == ([], 0)
    assert {customer for customer, _ in counted(lago)} == {"acme"}
    assert sum(usage.requests for usage in counted(lago).values()) == 1
