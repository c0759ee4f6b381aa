"""`reconcile` as a real process that is struck at one of its steps: killed by SIGKILL, or stopped for a while.

By hand, with the settings in the environment, its steps listed at the end, or killed before one of them:

    python -m tests.crash.runner -- --since 2026-11-01
    python -m tests.crash.runner 'committed INSERT INTO reconciler.run [1]' -- --since 2026-11-01
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import reconciler.settings.load
from reconciler.cli import main
from reconciler.settings.limits import Limits
from reconciler.settings.load import Settings, load_settings
from tests import forks
from tests.crash.steps import Steps, counted
from tests.support import QUICK


class Reconcile:
    """A running `reconcile`; `with` ends it if need be."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *arguments: str,
        kill_at: str | int | None = None,
        stop_near: str | None = None,
        senders: int = 4,
        limits: Limits = QUICK,
    ) -> None:
        """Start it.

        Args:
            environ: the settings.
            arguments: of the command line.
            kill_at: the step before which it kills itself, by its text or its number.
            stop_near: it stops before the first step whose text holds this, until `go_on`; so do other senders before
                their next step.
            senders: how many it has.
            limits: its timings and sizes.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="reconcile-")
        for name in ("out", "err"):
            (Path(self._folder.name) / name).touch()  # it may be killed before it writes
        self._pipe, theirs = multiprocessing.Pipe()
        settings = {"RECONCILE_CONNECTIONS": str(senders)} | dict(environ)
        self._process = forks.start(_run, settings, arguments, self._folder.name, kill_at, stop_near, limits, theirs)
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()
        self._folder.cleanup()

    def stopped(self) -> str | None:
        """Wait until it stops, and say before which step; None if it ended without."""
        try:
            step: str = self._pipe.recv()
        except EOFError:
            return None
        return step

    def go_on(self) -> None:
        """Let it go on after a stop."""
        self._pipe.send(None)

    def kill(self) -> None:
        """SIGKILL; harmless if it has ended."""
        self._process.kill()

    def interrupt(self) -> None:
        """SIGINT, as Ctrl-C sends it."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGINT)

    def wait(self, seconds: float = 120) -> int:
        """Wait for its end; return its exit code, -9 for a kill."""
        self._process.join(seconds)
        code = self._process.exitcode
        assert code is not None, f"it has not ended after {seconds} s"
        return code

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return (Path(self._folder.name) / "out").read_text()

    @property
    def err(self) -> str:
        """Its standard error so far."""
        return (Path(self._folder.name) / "err").read_text()


def _run(
    environ: Mapping[str, str],
    arguments: tuple[str, ...],
    folder: str,
    kill_at: str | int | None,
    stop_near: str | None,
    limits: Limits,
    pipe: Connection,
) -> None:
    forks.redirect(Path(folder) / "out", Path(folder) / "err")
    os.environ.update(environ)
    sys.argv = ["reconcile", *arguments]

    def load(**options: Any) -> Settings:
        return replace(load_settings(**options), limits=limits)

    setattr(reconciler.settings.load, "load_settings", load)  # noqa: B010

    def stop(step: str) -> None:
        pipe.send(step)
        pipe.recv()

    with counted(Steps(stop if stop_near else _kill, at=kill_at, near=stop_near)):
        main()


def _kill(step: str) -> None:
    os.write(2, f"killed before: {step}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    place = sys.argv.index("--")
    before, sys.argv = sys.argv[1:place], ["reconcile", *sys.argv[place + 1 :]]
    with counted(Steps(_kill, at=before[0] if before else None)) as steps:
        try:
            main()
        finally:
            print(*steps.taken, sep="\n", file=sys.stderr)
