"""Progress is drawn on a terminal, cleaned away at the end, and nowhere else."""

import os
import pty
import select
import time
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.process import run, start
from tests.support import assert_exact, environment

ERASE_LINE = "\x1b[2K"


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    begin = datetime.now(UTC) - timedelta(hours=2)
    proxy_db.insert(*(spend_row(startTime=begin + timedelta(minutes=n), end_user=f"c-{n % 9}") for n in range(60)))
    return environment(proxy_db, lago)


def run_on_terminal(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run a pass whose standard error is a terminal; return exit code, standard output and what was drawn."""
    terminal, side = pty.openpty()
    process = start({"TERM": "xterm"} | environ, *arguments, stderr=side)
    os.close(side)
    drawn, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                drawn += os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
    os.close(terminal)
    out = process.communicate(timeout=60)[0]
    return process.returncode, out, drawn.decode()


@pytest.mark.proof
def test_bars_are_drawn_on_a_terminal_and_cleaned_away(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    code, out, drawn = run_on_terminal(environ, "--since", "1d")

    assert code == 0
    assert "Looking at new windows" in drawn
    assert "Delivering to Lago" in drawn
    assert "100%" in drawn
    last = drawn.rindex("Delivering to Lago")
    assert ERASE_LINE in drawn[last:]
    assert "60 rows newly billed" in out
    assert "\x1b" not in out
    assert_exact(proxy_db, lago)


def test_without_a_terminal_there_are_no_bars(environ: dict[str, str]) -> None:
    finished = run(environ, "--since", "1d")

    assert finished.returncode == 0
    assert finished.stderr == ""
    assert "\x1b" not in finished.stdout
    assert len(finished.stdout.splitlines()) == 4


def test_the_summary_of_a_program_goes_to_standard_error(environ: dict[str, str]) -> None:
    finished = run(environ, "--since", "1d", "--json")

    assert len(finished.stdout.splitlines()) == 1
    assert "60 rows newly billed" in finished.stderr
    assert "\x1b" not in finished.stderr
