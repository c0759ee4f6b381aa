"""Real `reconcile` processes: what one takes, also on a terminal, and several at once."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile

_RECONCILE = (sys.executable, "-m", "reconciler", "--json")

# A process begins with its parent's peak, so a small one starts the one that is measured.
_PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: its exit code.
        peak: of its memory, in megabytes.
        said: what it wrote on standard error, as drawn if that was a terminal.
    """

    code: int
    peak: float
    said: str

    def expect(self, code: int) -> None:
        """Raise `RuntimeError` if it ended with another exit code."""
        if self.code != code:
            raise RuntimeError(f"reconcile ended with {self.code} instead of {code}: {self.said.strip()}")


def reconcile(environ: Mapping[str, str], *arguments: str, terminal: bool = False) -> Ended:
    """Run one pass to its end.

    Args:
        environ: its settings.
        arguments: of the command line.
        terminal: whether its standard error is a terminal, on which it draws its progress.
    """
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", _PEAK, *_RECONCILE, *arguments],
        env={**os.environ, **environ, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        said = _read(ours)
        out, _ = process.communicate()
    code, size = map(int, out.split())
    return Ended(code, size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6, said)


def _read(end: int) -> str:
    """All that comes until the other end is closed, which a terminal tells by an error."""
    said = b""
    with os.fdopen(end, "rb", buffering=0) as pipe:
        try:
            while some := pipe.read(65536):
                said += some
        except OSError:
            pass
    return said.decode(errors="replace")


def together(environ: Mapping[str, str], passes: int) -> float:
    """Start so many passes at once; return the seconds until the last has ended.

    Raises:
        RuntimeError: one failed.
    """
    began = time.perf_counter()
    with TemporaryFile("w+") as said:
        running = [
            subprocess.Popen(_RECONCILE, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=said)
            for _ in range(passes)
        ]
        codes = [each.wait() for each in running]
        seconds = time.perf_counter() - began
        if any(codes):
            said.seek(0)
            raise RuntimeError(f"of {passes} passes one ended with {max(codes)}: {said.read().strip()}")
    return seconds
