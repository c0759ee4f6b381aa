"""A disk that fills up in mid-pass: one sentence, exit 1, chunks that were committed stay, then exact."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from reconciler.demo.postgres import EmbeddedPostgres, unprivileged
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.failures.conftest import Fails
from tests.support import assert_exact, environment, reconcile


def _mount(folder: Path, *, options: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)


@pytest.fixture
def small_disk(postgres: EmbeddedPostgres) -> Iterator[Path]:
    """A disk of 16 MB of which the server may make a tablespace."""
    user = unprivileged()
    if not user:
        pytest.skip("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="reconciler-disk-"))
    mounted = _mount(folder, options=f"size=16m,mode=700,uid={user['user']},gid={user['group']}")
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no small disk can be mounted here: {os.fsdecode(mounted.stderr).strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@pytest.fixture
def ledger_db(postgres: EmbeddedPostgres, small_disk: Path) -> Iterator[Database]:
    """A database for the ledger, temporary tables included, on the small disk; some 8 MB are free."""
    with psycopg.connect(postgres.socket_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(str(small_disk)))
        connection.execute("CREATE DATABASE small TEMPLATE template0 TABLESPACE small STRATEGY FILE_COPY")
        yield Database(postgres, "small")
        connection.execute("DROP DATABASE small WITH (FORCE)")
        connection.execute("DROP TABLESPACE small")


@pytest.mark.proof
def test_a_full_disk_loses_nothing(
    proxy_db: Database, ledger_db: Database, small_disk: Path, lago: Sandbox, fails: Fails
) -> None:
    # Six hours of usage whose events take about 10 MB: ids of 1 kB that can't be compressed, and still share batches.
    begin = datetime.now(UTC) - timedelta(hours=7)
    proxy_db.insert(
        *(
            spend_row(startTime=begin + timedelta(seconds=7.2 * number), end_user=secrets.token_hex(480))
            for number in range(3000)
        )
    )
    environ = environment(proxy_db, lago, ledger=ledger_db)

    sentence = fails(environ, "--since", "7d")

    assert sentence.startswith("RECONCILE_LEDGER_URL (postgresql://")
    assert "the server's disk is full" in sentence
    [(start, watermark)] = ledger_db.fetch("SELECT start, watermark FROM reconciler.meter")
    assert start < watermark < datetime.now(UTC) - timedelta(hours=1)

    assert _mount(small_disk, options="remount,size=200m").returncode == 0
    reconcile(environ)
    assert_exact(proxy_db, lago, ledger=ledger_db)
