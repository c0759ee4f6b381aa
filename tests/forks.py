"""Processes forked from one that has imported `reconcile`: each starts in some hundredths of a second."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.imported"])
_ROOT = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """Our variables without those of `reconcile`; it is imported from this checkout, and a line is 200 columns."""
    ours = ("DATABASE_URL", "LAGO_", "RECONCILE_", "PG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | {"PYTHONPATH": str(_ROOT), "COLUMNS": "200"}


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that calls the target, in that environment."""
    process = _CONTEXT.Process(target=target, args=arguments, daemon=True)
    with patch.dict(os.environ, environment(), clear=True):  # the first start starts the process that forks
        process.start()
    return process


def redirect(out: Path, err: Path) -> None:
    """Let a process write its output and its errors to these files."""
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
