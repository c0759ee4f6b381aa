"""`sslmode` in LiteLLM's DATABASE_URL: encrypted where it asks for that, and verified where it asks for that."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from reconciler.demo.postgres import unprivileged
from reconciler.sandbox import Sandbox
from tests.conftest import POSTGRES_15, TEMPLATE, Database, need_postgres_15, new_database, server, spend_row
from tests.process import run, sentences
from tests.support import assert_exact, environment

pytestmark = pytest.mark.proof

ENCRYPTED = """
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.encrypted SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();
    RETURN NULL;
END $$
"""


@pytest.fixture(scope="module")
def authorities() -> Iterator[tuple[Path, Path]]:
    """Certificates of the authority that signed the server's, and of another; the server can read its own beside."""
    folder = Path(tempfile.mkdtemp(prefix="reconciler-tls-"))
    mine, other = trustme.CA(), trustme.CA()
    certificate = mine.issue_cert("localhost")
    mine.cert_pem.write_to_path(str(folder / "mine.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))
    (folder / "server.key").chmod(0o600)
    if account := unprivileged():
        for path in (folder, *folder.iterdir()):
            os.chown(path, account["user"], account["group"])
    yield folder / "mine.pem", folder / "other.pem"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def secure_db(authorities: tuple[Path, Path]) -> Iterator[Database]:
    """A proxy's database on a server that offers TLS."""
    need_postgres_15()
    folder = authorities[0].parent
    files = {"ssl_cert_file": str(folder / "server.pem"), "ssl_key_file": str(folder / "server.key")}
    with server(POSTGRES_15, ssl="on", **files) as running, new_database(running, TEMPLATE) as database:
        yield database


def with_tls(database: Database, query: str) -> str:
    """The address by the name in the certificate."""
    return database.url.replace("127.0.0.1", "localhost") + "?schema=public&connection_limit=10&" + query


def test_a_pass_is_encrypted_where_the_url_requires_it(secure_db: Database, lago: Sandbox) -> None:
    environ = environment(secure_db, lago) | {"DATABASE_URL": with_tls(secure_db, "sslmode=require")}
    assert run(environ, "ledger", "upgrade").returncode == 0
    for statement in (
        "CREATE TABLE public.encrypted (ssl boolean)",
        ENCRYPTED,
        "CREATE TRIGGER note AFTER INSERT ON reconciler.event EXECUTE FUNCTION public.note()",
    ):
        secure_db.fetch(statement)
    secure_db.insert(spend_row())
    assert run(environ, "--since", "2h").returncode == 0
    assert secure_db.fetch("SELECT DISTINCT ssl FROM public.encrypted") == [(True,)]
    assert_exact(secure_db, lago)


@pytest.mark.parametrize("verify", ["sslmode=verify-full&sslrootcert={}", "sslaccept=strict&sslcert={}"])
def test_a_certificate_is_verified_where_the_url_asks_for_it(
    verify: str, secure_db: Database, lago: Sandbox, authorities: tuple[Path, Path]
) -> None:
    environ = environment(secure_db, lago)
    mine, other = (environ | {"DATABASE_URL": with_tls(secure_db, verify.format(path))} for path in authorities)
    assert run(mine, "ledger", "upgrade").returncode == 0
    refused = run(other, "ledger", "upgrade")
    assert refused.returncode == 1
    [sentence] = sentences(refused)
    assert "certificate verify failed" in sentence
    assert "Traceback" not in refused.stderr


def test_a_server_without_tls_is_refused_where_the_url_requires_it(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago) | {"DATABASE_URL": f"{proxy_db.url}?sslmode=require"}
    refused = run(environ, "ledger", "upgrade")
    assert refused.returncode == 1
    [sentence] = sentences(refused)
    assert "server does not support SSL, but SSL was required" in sentence
