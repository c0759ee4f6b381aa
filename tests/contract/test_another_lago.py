"""The contract suite is asked of a Lago elsewhere: here a stand-in of its own, as if it were a real one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.sandbox import Sandbox

SUITE = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "tests/contract/test_contract.py"]
SOME = "properties"


@contextmanager
def another_lago(*options: str) -> Iterator[str]:
    """Run a stand-in in another process; its URL."""
    command = [sys.executable, "-m", "reconciler", "sandbox", "--port", "0", "--key", "its-key", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip().removeprefix("LAGO_API_BASE=")
        finally:
            process.terminate()


def suite(url: str, *arguments: str, key: str = "its-key") -> tuple[int, str]:
    """Run the suite on a Lago; return its exit code and what it printed."""
    environ = os.environ | {"LAGO_CONTRACT_URL": url, "LAGO_CONTRACT_KEY": key}
    command = [sys.executable, *SUITE, *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.proof
def test_each_answer_that_differs_fails_and_is_listed() -> None:
    event = {"method": "POST", "path": "/api/v1/events", "kind": "status"}
    with Sandbox(api_key="its-key") as lago:
        lago.faults(
            event | {"status": 429, "headers": {"X-RateLimit-Reset": "0"}},  # is waited for
            event | {"status": 200, "body": '{"event": {"code": null}}'},
            event | {"status": 503, "body": "away"},
            event | {"kind": "drop"},
        )
        code, printed = suite(lago.url, "-k", SOME)
    assert code == 1
    assert re.search(r"3 failed, \d+ passed", printed)
    listed = printed.partition("answers that differ: 3")[2]
    assert "POST events\n  body.event.lago_id: expected, but missing\n" in listed
    assert "\n  body.event.code: expected 'contract-" in listed
    assert "\n  status: expected 200, got 503 away" in listed
    assert "\n  no answer: " in listed


@pytest.mark.proof
def test_a_wrong_key_is_said_at_once() -> None:
    with another_lago() as url:
        code, printed = suite(url, "-k", SOME, key="wrong")
    assert code == 2
    assert "GET /api/v1/organizations is 401" in printed
    assert "Look at LAGO_CONTRACT_URL and LAGO_CONTRACT_KEY." in printed
    assert "Traceback" not in printed


@pytest.mark.proof
def test_a_lago_that_is_away_is_said_at_once() -> None:
    with another_lago() as url:
        pass
    code, printed = suite(url, "-k", SOME)
    assert code == 2
    assert f"{url} can't be reached" in printed


@pytest.mark.proof
def test_the_whole_suite_passes_on_another_lago_that_is_not_empty() -> None:
    with another_lago("--store", "clickhouse", "--lag", "0.3") as url:
        for arguments in (("-k", SOME), ()):
            code, printed = suite(url, *arguments)
            assert code == 0, printed
            assert "differ" not in printed
