"""The calls that docs/closing.md shows around `reconcile close` change and end a plan."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from os import environ as inherited
from pathlib import Path

import pytest

from tests.conftest import Database, need_programs, spend_row
from tests.docs.test_documentation import DOCS, code_blocks
from tests.periods.conftest import Billing, long_ago
from tests.support import environment, reconcile


def shell(block: str, environ: dict[str, str]) -> str:
    path = f"{Path(sys.executable).parent}:{inherited['PATH']}"
    told = inherited | environ | {"PATH": path, "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{block}"],
        env=told,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.proof(seconds=3)
def test_they_invoice_what_was_used_up_to_the_call(
    proxy_db: Database, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_programs("bash", "curl")
    upgrade, end = code_blocks(DOCS["closing.md"], "sh")
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s")
    reconcile(environ)
    window = datetime.now(UTC) - timedelta(milliseconds=1)
    proxy_db.insert(spend_row(spend=1, startTime=window))
    assert "Change the plan now." in shell(upgrade, environ)
    assert billing.invoiced() == [Decimal(1)]
    proxy_db.insert(spend_row(spend=2, startTime=datetime.now(UTC)))
    shell(end, environ)
    assert billing.invoiced() == [Decimal(2), Decimal(1)]
