"""`reconcile serve` as a real process whose log lines are read as they come."""

import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Database, spend_row
from tests.process import start

Line = dict[str, str]

_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "]*)(?: |$)')


def parse(line: str) -> Line:
    """Read a line of logfmt; anything else fails the test."""
    pairs, position = Line(), 0
    while position < len(line):
        found = _PAIR.match(line, position)
        assert found, f"no logfmt: {line!r}"
        pairs[found[1]] = found[2].removeprefix('"').removesuffix('"')
        position = found.end()
    return pairs


class Service:
    """A running `reconcile serve`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process: subprocess.Popen[str] = start(environ, "serve")
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.log: list[str] = []

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.put(line.rstrip("\n"))

    def next(self, event: str, seconds: float = 30) -> Line:
        """Wait for the next line of that event."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                raise AssertionError(f"no {event!r} in {seconds} s after {self.log[-5:]}") from None
            self.log.append(line)
            if parse(line).get("event") == event:
                return parse(line)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; return the exit code. It fails if the service goes on for a minute."""
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._reader.join(5)
        while not self._lines.empty():
            self.log.append(self._lines.get())
        assert self._process.stdout is not None
        assert self._process.stdout.read() == ""
        return code

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


Serve = Callable[[Mapping[str, str]], Service]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start services with a pass every second; they are killed at the end."""
    running: list[Service] = []

    def start_one(environ: Mapping[str, str]) -> Service:
        running.append(Service({"RECONCILE_INTERVAL": "1s"} | dict(environ)))
        return running[-1]

    yield start_one
    for service in running:
        service.kill()


def use(database: Database, customer: str = "acme") -> None:
    """Write usage of settled windows that a fresh look sees."""
    now = datetime.now(UTC)
    database.insert(
        *(spend_row(startTime=now - timedelta(minutes=20 + n), end_user=f"{customer}-{n % 3}") for n in range(12))
    )
