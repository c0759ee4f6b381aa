"""Customers with huge names: bounded by bytes, not by events, whichever the store and whatever a person asks."""

import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.sandbox import Sandbox
from tests import forks
from tests.conftest import Database, spend_row
from tests.crash.wire import recorded
from tests.support import BATCH, assert_exact, batches, environment, reconcile, states

LENGTH = 200_000


def huge(source: Database, count: int) -> None:
    """Write a row for each of so many customers with huge names, a few at a time."""
    for number in range(count):
        source.insert(spend_row(end_user=f"{number} {'x' * LENGTH}"))


def _run(environ: Mapping[str, str], arguments: tuple[str, ...], log: Path, peak: Path) -> None:
    forks.redirect(log, log)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr("sys.argv", ["reconcile", *arguments])
        try:
            main()
        except SystemExit as ended:
            peak.write_text(f"{ended.code} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}")


def peak_of(environ: Mapping[str, str], folder: Path, *arguments: str) -> tuple[int, float]:
    """Run `reconcile` as a process of its own; return its exit code and the most memory it had, in MB."""
    process = forks.start(_run, dict(environ), arguments, folder / "log", folder / "peak")
    process.join(120)
    process.kill()
    code, kilobytes = (folder / "peak").read_text().split()
    return int(code), int(kilobytes) / 1024


@pytest.mark.proof
def test_names_that_lago_can_not_take_are_quarantined_before_they_are_sent_in_bounded_memory(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    environ = environment(proxy_db, lago)
    _, usual = peak_of(environ, tmp_path, "--since", "2h")
    huge(proxy_db, 300)
    proxy_db.insert(spend_row())
    code, peak = peak_of(environ, tmp_path)
    assert code == 3
    assert states(proxy_db) == {"accepted": 1, "quarantined": 300}
    assert [len(ids) for ids in batches(lago)] == [1]
    assert peak < usual + 50, "60 MB of names are in none of it"
    assert_exact(proxy_db, lago, where="end_user = 'acme'", undelivered=300)

    code, peak = peak_of(environ, tmp_path, "quarantine")
    assert code == 0
    assert peak < usual + 50


@pytest.mark.proof
def test_names_that_clickhouse_takes_go_alone(proxy_db: Database, clickhouse: Sandbox) -> None:
    huge(proxy_db, 12)
    proxy_db.insert(spend_row(end_user="one"), spend_row(end_user="two"))
    with recorded() as sent:
        assert reconcile(environment(proxy_db, clickhouse), since="2h").delivered.accepted == 14
    assert sorted(len(ids) for ids in batches(clickhouse)) == [1] * 12 + [2]
    assert max(len(body) for bodies in sent.values() for body in bodies) < 2**20
    assert [request["path"] for request in clickhouse.requests() if request["status"] == 200].count(BATCH) == 13
    assert_exact(proxy_db, clickhouse)
