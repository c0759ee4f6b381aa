"""`reconcile status` asks nothing of Lago, so it waits for no HTTP library either."""

import os
import subprocess
import sys

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import environment, reconcile


@pytest.mark.proof
def test_status_imports_no_http_library(proxy_db: Database, lago: Sandbox) -> None:
    reconcile(environment(proxy_db, lago))

    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "reconciler", "status"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": proxy_db.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "reconciler.report.status" in imported
    assert "httpx" not in imported
