"""Processes forked from one that has imported `reconcile`: each starts in some hundredths of a second."""

import multiprocessing
import os
import signal
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.imported"])


def redirect(out: Path, err: Path) -> None:
    """Let a process write its output and its errors to these files, and take Ctrl-C as one in a terminal does."""
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
