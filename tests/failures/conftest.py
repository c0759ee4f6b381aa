"""What every failure has in common: one sentence, an exit code, an object for programs, and no secret."""

import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Database, spend_row
from tests.process import only_object, run, sentences

PASSWORD = "pass-word-that-nobody-may-see"
KEY = "api-key-that-nobody-may-see"

# Design, section 8.
FIELDS = {
    "meter", "since", "until", "watermark", "rows", "windows", "events_planned", "events_accepted",
    "events_quarantined", "events_pending", "cost_planned", "unattributed_rows", "unattributed_cost", "suspect_rows",
    "frozen_buckets", "alarms", "skipped",
}  # fmt: skip

Fails = Callable[..., str]


@pytest.fixture
def used_db(proxy_db: Database) -> Database:
    """A proxy's database with an hour of usage, all of it settled."""
    begin = datetime.now(UTC) - timedelta(minutes=80)
    proxy_db.insert(
        *(
            spend_row(
                startTime=begin + timedelta(minutes=minute), end_user=f"customer-{minute % 5}", spend=(minute + 1) / 7
            )
            for minute in range(60)
        )
    )
    return proxy_db


@pytest.fixture
def fails() -> Fails:
    """Run a pass that must fail; return its one sentence."""

    def run_and_check(environ: Mapping[str, str], *arguments: str, code: int = 1, meters: int = 1) -> str:
        finished = run(environ, "--json", *arguments)
        assert finished.returncode == code, finished.stderr
        _assert_clean(finished)

        [sentence] = sentences(finished)
        answer = only_object(finished)
        assert set(answer) >= {"run_id", "meters"}
        assert len(answer["meters"]) == meters
        for meter in answer["meters"]:
            assert set(meter) >= FIELDS
            assert meter["error"] == sentence
        return sentence

    return run_and_check


def _assert_clean(finished: "subprocess.CompletedProcess[str]") -> None:
    told = finished.stdout + finished.stderr
    assert "Traceback" not in told
    assert PASSWORD not in told
    assert KEY not in told
