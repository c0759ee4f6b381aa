"""`reconcile` as a real process, where exit codes, streams, signals or terminals matter."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.cli import main
from tests import forks


def start(environ: Mapping[str, str], *arguments: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Start `reconcile` with these variables and nothing of ours; the caller reads its output and ends it.

    Its standard error is a pipe unless it is to be a descriptor, such as a terminal's.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", *arguments],
        env=forks.environment() | dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def run(environ: Mapping[str, str], *arguments: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run `reconcile` to its end: the same, but forked from a process that has imported it, which is quicker."""
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        process = forks.start(_run, dict(environ), arguments, out, err)
        process.join(timeout)
        process.kill()  # harmless if it has ended
        assert process.exitcode is not None, f"reconcile {arguments} has not ended after {timeout} s"
        said = out.read_text(), err.read_text()
    return subprocess.CompletedProcess(["reconcile", *arguments], process.exitcode, *said)


def _run(environ: Mapping[str, str], arguments: tuple[str, ...], out: Path, err: Path) -> None:
    forks.redirect(out, err)
    os.environ.update(environ)
    sys.argv = ["reconcile", *arguments]
    main()


def sentences(finished: "subprocess.CompletedProcess[str]") -> list[str]:
    """What it told a person to mend, without the command's name."""
    prefix = "reconcile: "
    return [line.removeprefix(prefix) for line in finished.stderr.splitlines() if line.startswith(prefix)]


def only_object(finished: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """The one JSON object on standard output, which holds nothing else."""
    [line] = finished.stdout.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed
