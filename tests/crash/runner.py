"""`reconcile` as a real process that is struck at one of its steps: killed by SIGKILL, or stopped for a while.

By hand, with the settings in the environment, killed at its 40th step:

    python -m tests.crash.runner 40 -- --since 2026-11-01
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import reconciler.delivery.dispatch
import reconciler.lago.client
from reconciler.cli import main
from reconciler.delivery.deliver import Delivery
from reconciler.lago.client import BATCH, REQUEST_SECONDS
from tests import forks
from tests.crash.steps import Steps, counted


class Reconcile:
    """A running `reconcile`; `with` ends it if need be."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *arguments: str,
        kill_at: int | None = None,
        stop_near: str | None = None,
        senders: int = 4,
        batch: int = BATCH,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Start it.

        Args:
            environ: the settings.
            arguments: of the command line.
            kill_at: the number of the step at which it kills itself.
            stop_near: it stops before the first step whose text holds this, until `go_on`; so do other senders before
                their next step.
            senders: how many it has.
            batch: the most events in one request.
            request_seconds: how long one of its requests may take.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="reconcile-")
        for name in ("out", "err"):
            (Path(self._folder.name) / name).touch()  # it may be killed before it writes
        self._pipe, theirs = multiprocessing.Pipe()
        settings = (
            dict(environ),
            arguments,
            self._folder.name,
            kill_at,
            stop_near,
            senders,
            batch,
            request_seconds,
            theirs,
        )
        self._process = forks.start(_run, *settings)
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
    kill_at: int | None,
    stop_near: str | None,
    senders: int,
    batch: int,
    request_seconds: float,
    pipe: Connection,
) -> None:
    forks.redirect(Path(folder) / "out", Path(folder) / "err")
    os.environ.update(environ)
    sys.argv = ["reconcile", *arguments]
    setattr(reconciler.delivery.dispatch, "Delivery", partial(Delivery, senders=senders, batch=batch))  # noqa: B010
    setattr(reconciler.lago.client, "REQUEST_SECONDS", request_seconds)  # noqa: B010

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
    number, sys.argv = int(sys.argv[place - 1]), ["reconcile", *sys.argv[place + 1 :]]
    with counted(Steps(_kill, at=number)):
        main()
