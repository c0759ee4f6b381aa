"""`reconcile` in this process: cheaper than one of its own, where only what it prints and its exit code matter."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from unittest.mock import patch

import structlog

from reconciler.cli import main, outputs, terminal
from reconciler.cli.show import progress
from tests import forks


def run(environ: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `reconcile` to its end as `process.run` does; what a person should not see, such as a bug, is raised."""
    streams = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(each, encoding="utf-8", errors="backslashreplace") for each in streams)
    logs = structlog.get_config()
    code: object = 0
    with (
        patch.dict(os.environ, forks.environment() | dict(environ), clear=True),
        patch.object(sys, "argv", ["reconcile", *arguments]),
        patch.object(sys, "stdin", io.StringIO()),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        patch.object(outputs, "take_over", lambda: ()),
        patch.object(progress, "FIRST_WORD", float("inf")),  # as tests/imported.py has it
    ):
        terminal.console.cache_clear()
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            structlog.configure(**logs)
            terminal.console.cache_clear()
    assert isinstance(code, int)
    for stream in (out, err):
        stream.flush()
    said, complained = (written.getvalue().decode() for written in streams)
    return subprocess.CompletedProcess(["reconcile", *arguments], code, said, complained)
