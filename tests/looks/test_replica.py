"""A replica as the source: its time is that of the last transaction that it has replayed."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.litellm import apply_migrations
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.model.errors import LedgerError, SourceError
from reconciler.sandbox import Sandbox
from tests.conftest import SETTINGS, Database, spend_row
from tests.support import assert_exact, environment, reconcile


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can enter."""
    path = Path(tempfile.mkdtemp(prefix="replica-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.proof
def test_a_replica_is_believed_as_far_as_it_has_come(folder: Path, empty_db: Database, lago: Sandbox) -> None:
    with EmbeddedPostgres(folder / "primary", settings=SETTINGS) as primary:
        apply_migrations(primary.url())
        Database(primary, "postgres").insert(spend_row())
        primary.stop()
        subprocess.run(["cp", "-a", folder / "primary", folder / "replica"], check=True)
        signal = folder / "replica" / "data" / "standby.signal"
        signal.touch()
        os.chown(signal, signal.parent.stat().st_uid, signal.parent.stat().st_gid)

        with EmbeddedPostgres(folder / "replica", settings=SETTINGS) as lonely:
            environ = environment(Database(lonely, "postgres"), lago, ledger=empty_db)
            with pytest.raises(SourceError, match="replica that has replayed nothing since it started"):
                reconcile(environ, since="2h")
            assert empty_db.fetch("SELECT count(*) FROM reconciler.meter") == [(0,)]

        primary.start()
        follows = SETTINGS | {"primary_conninfo": primary.socket_url()}
        with EmbeddedPostgres(folder / "replica", settings=follows) as following:
            replica = Database(following, "postgres")
            Database(primary, "postgres").insert(spend_row(end_user="globex"))
            while replica.fetch('SELECT count(*) FROM "LiteLLM_SpendLogs"') != [(2,)]:
                time.sleep(0.05)
            environ = environment(replica, lago, ledger=empty_db)
            assert reconcile(environ, since="2h").delivered.accepted == 2
            assert_exact(replica, lago, ledger=empty_db)
            with pytest.raises(LedgerError, match=r"takes no writes \(.*\): it is a replica.*target_session_attrs"):
                reconcile(environment(replica, lago), since="2h")
            [(behind,)] = replica.fetch("SELECT clock_timestamp() - pg_last_xact_replay_timestamp() < '1 minute'")
            assert behind
