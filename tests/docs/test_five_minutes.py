"""The README's set-up, as a new user does it: each command as the page prints it, on a role of its own."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, need_programs, spend_row
from tests.docs.test_documentation import DOCS, README, TOP, section
from tests.support import assert_exact, environment, in_the_middle_of_a_month

SETUP = section(README, "Set-up for a real proxy, in five minutes")
BY_HAND = section(DOCS["setup.md"], "By hand")
BIN = Path(sys.executable).parent


def block(begin: str, page: str = SETUP) -> str:
    """The one block of commands that begins so, of which the page tells."""
    [found] = [each for each in re.findall(r"(?:^    .*\n)+", page, re.MULTILINE) if each.strip().startswith(begin)]
    return re.sub("^    ", "", found, flags=re.MULTILINE)


class Operator:
    """Follows the page, with the addresses, paths and days of this machine."""

    def __init__(self, home: Path, db: Database, lago: Sandbox) -> None:
        user, _, rest = db.url.partition("://")[2].partition("@")
        assert user
        assert rest
        self.home = home
        self.prelude = f"set -euo pipefail; export ADMIN_URL='{db.url}' no_proxy=127.0.0.1\n"
        self.here = {
            "postgresql://reconciler:secret@db:5432/litellm": f"postgresql://reconciler:secret@{rest}",
            "https://api.getlago.com": lago.url,
            "your-key": lago.api_key,
            "/etc/reconciler.env": str(home / "reconciler.env"),
            "/opt/reconciler/bin": str(BIN),
            "2026-11-01": f"{datetime.now(UTC) - timedelta(hours=4):%Y-%m-%d}",
        }

    def here_and_now(self, text: str) -> str:
        for printed, meant in self.here.items():
            text = text.replace(printed, meant)
        return text

    def do(self, *commands: str, typed: bytes = b"") -> str:
        """What these commands print, in a new shell at a terminal where that is typed."""
        terminal, shells = os.openpty()
        os.write(terminal, typed)
        done = subprocess.run(
            ["bash", "-c", self.prelude + "\n".join(map(self.here_and_now, commands))],
            cwd=TOP, stdin=shells, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        os.close(terminal)
        os.close(shells)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.mark.proof
@pytest.mark.no_ledger
def test_the_set_up_works_as_it_is_printed(tmp_path: Path, proxy_db: Database, lago: Sandbox) -> None:
    need_programs("bash", "curl", "psql")
    operator = Operator(tmp_path, proxy_db, lago)
    now = datetime.now(UTC)
    begin = now - timedelta(hours=3)
    in_the_middle_of_a_month(lago)
    proxy_db.insert(*(spend_row(startTime=begin + timedelta(minutes=n)) for n in range(60)))

    # Install (packaging tries the wheel); say where.
    operator.do(re.search(r"^install .*$", block("python3 -m venv"), re.MULTILINE)[0])  # type: ignore[index]
    settings = tmp_path / "reconciler.env"
    assert settings.stat().st_mode & 0o777 == 0o600
    written = settings.read_text()
    assert block("DATABASE_URL=").strip() in written  # the page says which five to write
    settings.write_text(operator.here_and_now(written))
    shell = block("set -a")
    operator.do(block("psql"))

    # Prepare Lago.
    dry, real = block("reconcile setup").splitlines()
    assert "POST /api/v1/subscriptions" in operator.do(shell, dry)
    assert "Made: 4 of 4." in operator.do(shell, real, typed=b"y\n")

    operator.do(shell, f"{block('reconcile doctor').strip()} || [ $? = 3 ]")  # no pass has run yet

    # Look, then bill.
    dry, real, verify = block("reconcile --dry-run").splitlines()
    assert "would plan" in operator.do(shell, dry)
    assert lago.events() == []
    assert "60 rows newly billed" in operator.do(shell, real)
    assert_exact(proxy_db, lago, code="llm_usage")
    assert " are verified: " in operator.do(shell, verify)

    # Leave it alone: cron has neither our path nor our variables.
    [line] = block("*/5 * * * *").splitlines()
    proxy_db.insert(spend_row(startTime=now - timedelta(minutes=40)))
    cron = ["/usr/bin/env", "-i", "HOME=/", "PATH=/usr/bin:/bin", "/bin/sh", "-c"]
    done = subprocess.run(
        [*cron, operator.here_and_now(line.removeprefix("*/5 * * * * "))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert_exact(proxy_db, lago, code="llm_usage")


def test_lago_is_prepared_by_hand_as_it_is_printed(tmp_path: Path, proxy_db: Database, lago: Sandbox) -> None:
    need_programs("bash", "curl")
    operator = Operator(tmp_path, proxy_db, lago)
    shell = f"LAGO_API_BASE={lago.url} LAGO_API_KEY={lago.api_key}"
    metric = operator.do(shell, block("lago() {", BY_HAND))
    lago_id = json.loads(metric)["billable_metric"]["lago_id"]
    function = block("lago() {", BY_HAND).partition("lago billable_metrics")[0]
    operator.do(shell, function, block("lago plans", BY_HAND).replace("LAGO_ID", lago_id))
    assert '"status":"active"' in operator.do(shell, function, block("lago customers", BY_HAND))

    proxy_db.insert(spend_row())
    settings = environment(proxy_db, lago, LAGO_API_EVENT_CODE="llm_usage")
    lago.clear_requests()
    assert run(settings, "setup", "--customers", "--yes").returncode in {0, 3}  # 3 in the first minutes of a month
    assert {each["method"] for each in lago.requests()} == {"GET"}
