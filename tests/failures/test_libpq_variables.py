"""Variables that libpq reads by itself: none says where we connect, and what is in the way is named."""

from psycopg.pq import Conninfo

from reconciler.database import libpq
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.failures.conftest import Fails
from tests.process import run
from tests.support import assert_exact, environment

ELSEWHERE = {
    "PGHOST": "10.255.255.1", "PGHOSTADDR": "10.255.255.1", "PGPORT": "1", "PGDATABASE": "nowhere", "PGUSER": "nobody",
    "PGSERVICE": "nope", "PGOPTIONS": "-c nope=1", "PGTARGETSESSIONATTRS": "read-only", "PGLOADBALANCEHOSTS": "x",
    "PGCLIENTENCODING": "nope", "PGAPPNAME": "x", "PGTZ": "nope", "PGDATESTYLE": "nope", "PGGEQO": "nope",
    "PGCONNECT_TIMEOUT": "x", "PGMINPROTOCOLVERSION": "x", "PGMAXPROTOCOLVERSION": "x",
}  # fmt: skip


def test_what_would_lead_elsewhere_is_not_read(proxy_db: Database, lago: Sandbox) -> None:
    assert set(ELSEWHERE) == set(libpq.NOT_READ)
    proxy_db.insert(spend_row(end_user="füchse 🦊"))
    finished = run(environment(proxy_db, lago) | ELSEWHERE, "--since", "2h")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert_exact(proxy_db, lago)


def test_it_is_decided_for_each_variable_of_libpq() -> None:
    known = {option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar}
    assert known <= {*libpq.READ, *libpq.NOT_READ, "PGPASSWORD", *OF_NO_USE}


OF_NO_USE = {"PGSSLCOMPRESSION", "PGGSSDELEGATION", "SSLKEYLOGFILE"}
"""Read, and never in the way."""


def test_what_is_in_the_way_of_a_login_is_named(proxy_db: Database, lago: Sandbox, fails: Fails) -> None:
    in_the_way = [
        ("PGSSLMODE", "nope"),
        ("PGSSLMODE", "require"),
        ("PGREQUIREAUTH", "none"),
        ("PGSSLMINPROTOCOLVERSION", "nope"),
    ]
    for variable, value in in_the_way:
        sentence = fails(environment(proxy_db, lago) | {variable: value}, meters=1)
        assert sentence.startswith("DATABASE_URL (postgresql://")
        assert f"(the environment sets {variable})" in sentence
