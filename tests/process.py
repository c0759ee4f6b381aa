"""`reconcile` as a real process, where exit codes, streams, signals or terminals matter."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent


def start(environ: Mapping[str, str], *arguments: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Start `reconcile` with these variables and nothing of ours; the caller reads its output and ends it.

    Its standard error is a pipe unless it is to be a descriptor, such as a terminal's.
    """
    ours = ("DATABASE_URL", "LAGO_", "RECONCILE_", "PG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", *arguments],
        env=inherited | {"PYTHONPATH": str(_ROOT), "COLUMNS": "200"} | dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def run(environ: Mapping[str, str], *arguments: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run `reconcile` to its end."""
    with start(environ, *arguments) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def sentences(finished: "subprocess.CompletedProcess[str]") -> list[str]:
    """What it told a person to mend, without the command's name."""
    prefix = "reconcile: "
    return [line.removeprefix(prefix) for line in finished.stderr.splitlines() if line.startswith(prefix)]


def only_object(finished: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """The one JSON object on standard output, which holds nothing else."""
    [line] = finished.stdout.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed
