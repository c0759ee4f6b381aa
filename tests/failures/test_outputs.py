"""Outputs that are closed, full, read no further or of a small alphabet: the work is done, the loss is told."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.sandbox import Sandbox
from tests import forks
from tests.conftest import Database, spend_row
from tests.process import run, sentences
from tests.support import assert_exact, environment

FULL = Path("/dev/full")
LOST = "reconcile: standard output can't be written (No space left on device), so not all was shown"


def reconcile(
    environ: dict[str, str], *arguments: str, out: Path, err: Path, then: Callable[[], None] | None = None
) -> int:
    """Run it with these outputs, and do something to the process before; return its exit code."""
    process = forks.start(_reconcile, environ, arguments, out, err, then)
    process.join(60)
    process.kill()  # harmless if it has ended
    assert process.exitcode is not None
    return process.exitcode


def _reconcile(
    environ: dict[str, str], arguments: tuple[str, ...], out: Path, err: Path, then: Callable[[], None] | None
) -> None:
    forks.redirect(out, err)
    if then:
        then()
    os.environ.update(environ)
    sys.argv = ["reconcile", *arguments]
    main()


def close_output() -> None:
    os.close(1)


def close_all() -> None:
    for descriptor in (0, 1, 2):
        os.close(descriptor)


def let_the_reader_go() -> None:
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(reading)


def write_ascii() -> None:
    """As LC_ALL=C or PYTHONIOENCODING=ascii have it."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    proxy_db.insert(spend_row(end_user="füchse 🦊"))
    return environment(proxy_db, lago)


def test_a_full_disk_for_the_summary_is_told_and_all_is_billed(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    err = tmp_path / "err"
    assert reconcile(environ, "--since", "2h", out=FULL, err=err) == 1
    [sentence] = err.read_text().splitlines()
    assert sentence.startswith(LOST)
    assert_exact(proxy_db, lago)


def test_a_full_disk_for_errors_shows_in_the_exit_code(environ: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert reconcile(environ | {"LAGO_API_KEY": "wrong"}, "--since", "2h", "--json", out=out, err=FULL) == 1
    assert json.loads(out.read_text())["meters"][0]["events_planned"] == 1


@pytest.mark.parametrize("then", [close_output, close_all, let_the_reader_go])
def test_an_output_that_nobody_wants_breaks_nothing(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox, tmp_path: Path, then: Callable[[], None]
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    assert reconcile(environ, "--since", "2h", out=out, err=err, then=then) == 0
    assert (out.read_text(), err.read_text()) == ("", "")
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_report_that_can_not_be_written_ends_in_one_sentence_and_one_that_nobody_reads_in_none(
    environ: dict[str, str], tmp_path: Path
) -> None:
    assert run(environ, "--since", "2h").returncode == 0
    reports = {"status": "accepted", "customers --json": "f\\u00fcchse", "events": "f\\xfcchse"}
    err, out = tmp_path / "err", tmp_path / "out"
    for line in ("--version", "--help", "ledger upgrade --sql", "alarm list", *reports):
        assert reconcile(environ, *line.split(), out=FULL, err=err) == 1
        [sentence] = err.read_text().splitlines()
        assert sentence.startswith(LOST), line
        err.unlink()
    for line, shown in reports.items():
        for then in (close_all, let_the_reader_go):
            assert reconcile(environ, *line.split(), out=out, err=err, then=then) == 0
            assert (out.read_text(), err.read_text()) == ("", "")
        assert reconcile(environ, *line.split(), out=out, err=err, then=write_ascii) == 0
        assert err.read_text() == ""
        assert shown in out.read_bytes().decode("ascii")
        out.unlink()


def test_what_an_encoding_lacks_is_escaped(environ: dict[str, str], lago: Sandbox, tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    body = {"status": 422, "error": "x", "code": "validation_errors", "error_details": {"0": {"füchse": ["\ud83e"]}}}
    lago.faults({"kind": "status", "status": 422, "body": json.dumps(body), "method": "POST", "count": None})
    assert reconcile(environ, "--since", "2h", out=out, err=err, then=write_ascii) == 3
    assert reconcile(environ, "quarantine", out=out, err=err, then=write_ascii) == 0
    shown = out.read_bytes().decode("ascii")
    assert "f\\xfcchse" in shown
    assert "Traceback" not in err.read_text()


@pytest.mark.proof
def test_a_poor_environment_breaks_nothing(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    poor = {"TZ": "garbage", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TMPDIR": "/nowhere"}
    root = Path(__file__).parents[2]
    gone = "mkdir gone && cd gone && rmdir ../gone && exec"
    finished = subprocess.run(
        ["/bin/sh", "-c", f"{gone} {sys.executable} -m reconciler --since 2h"],
        cwd=tmp_path,
        env=environ | poor | {"PYTHONPATH": str(root), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert_exact(proxy_db, lago)


def test_an_argument_that_is_not_text_is_refused(tmp_path: Path) -> None:
    finished = run({}, "status", "--meter", "\udcff")
    assert finished.returncode == 2
    assert sentences(finished) == ["The argument '\\udcff' is not text in UTF-8: write it again."]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--port", "99999"), 2), (("--port", "-1"), 2), (("--host", "no host", "--port", "0"), 1)],
)
def test_the_sandbox_says_where_it_cannot_listen(arguments: tuple[str, ...], code: int) -> None:
    finished = run({}, "sandbox", *arguments)
    assert finished.returncode == code
    assert "Traceback" not in finished.stderr
    assert arguments[0].removeprefix("--") in finished.stderr


def test_a_time_at_the_end_of_all_times_ends_in_a_sentence(environ: dict[str, str]) -> None:
    for when in ("0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31", "3000000d"):
        finished = run(environ, "--since", when)
        assert finished.returncode in {0, 2}
        assert "Traceback" not in finished.stderr
        assert bool(sentences(finished)) == (finished.returncode == 2)
