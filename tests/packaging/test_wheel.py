"""The built wheel, installed elsewhere without the extras, works from any folder: SQL and migrations included."""

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, environment

ROOT = Path(__file__).parent.parent.parent


def command(
    *arguments: str | Path, cwd: Path, environ: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    ours = ("PYTHON", "VIRTUAL_ENV", "LAGO_", "RECONCILE_", "DATABASE_URL")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    finished = subprocess.run(
        arguments, cwd=cwd, env=inherited | dict(environ or {}), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Build it as a release is built."""
    command(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path)
    [built] = (tmp_path / "dist").glob("*.whl")
    return built


@pytest.mark.proof
@pytest.mark.no_ledger
def test_an_installed_wheel_works_from_any_folder(
    wheel: Path, tmp_path: Path, proxy_db: Database, lago: Sandbox
) -> None:
    # It carries every statement, every grant and every migration.
    names = set(ZipFile(wheel).namelist())
    assert {f"reconciler/{file.relative_to(ROOT)}" for file in (ROOT / "sql").rglob("*.sql")} <= names
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "reconciler").rglob("*.py")} <= names
    assert "reconciler/py.typed" in names
    assert not any(name.startswith(("tests/", "bench/")) for name in names)

    # It works with what it says it depends on.
    command(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python, elsewhere = tmp_path / "venv" / "bin" / "python", tmp_path / "elsewhere"
    command(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-compile",
        "--constraint",
        ROOT / "constraints.txt",
        wheel,
        cwd=tmp_path,
    )
    reconcile = python.with_name("reconcile")
    elsewhere.mkdir()
    assert "--since" in command(reconcile, "--help", cwd=elsewhere).stdout
    assert command(reconcile, "--version", cwd=elsewhere).stdout.startswith("reconcile ")
    assert "CREATE TABLE reconciler.event" in command(reconcile, "ledger", "upgrade", "--sql", cwd=elsewhere).stdout

    begin = datetime.now(UTC) - timedelta(hours=2)
    proxy_db.insert(*(spend_row(startTime=begin + timedelta(minutes=n), end_user=f"c-{n % 5}") for n in range(60)))
    environ = environment(proxy_db, lago)
    assert "60 rows newly billed" in command(reconcile, "--since", "1d", cwd=elsewhere, environ=environ).stdout
    assert_exact(proxy_db, lago)
    assert "watermark" in command(reconcile, "status", cwd=elsewhere, environ=environ).stdout

    # What needs an extra says so.
    demo = subprocess.run([reconcile, "demo"], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert demo.returncode == 1
    assert "pip install 'litellm-lago-reconciler[demo]'" in demo.stderr
    assert "Traceback" not in demo.stderr
