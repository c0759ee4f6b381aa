"""Standard output and standard error, whatever they are: a full disk, a closed descriptor, a reader that has gone.

What can't be written never breaks the work that it tells of. The process says it at its end, with one sentence and an
exit code. What an encoding lacks is escaped.
"""

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NAMES = {1: "standard output", 2: "standard error"}


class Output(io.FileIO):
    """One of the two; to write to it never fails."""

    failure: OSError | None = None
    """Why something that was written is lost."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write, and remember that it was in vain."""
        try:
            while (written := super().write(data)) is None:  # another program has made it non-blocking
                select.select([], [self], [])
        except OSError as error:
            self.failure = error
            return memoryview(data).nbytes
        return written

    @property
    def sentence(self) -> str | None:
        """What a person should know of it. A reader that has read enough has gone on purpose."""
        if self.failure is None or self.failure.errno == errno.EPIPE:
            return None
        why = self.failure.strerror or "it failed"
        return f"{_NAMES[self.fileno()]} can't be written ({why}), so not all was shown; what was done is done."


def take_over() -> tuple[Output, Output]:
    """Let everything that is printed go through outputs that never fail; what was closed is as /dev/null."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which else the next connection would get
    out, err = Output(1, "w", closefd=False), Output(2, "w", closefd=False)
    sys.stdout, sys.stderr = _text(out, sys.stdout), _text(err, sys.stderr)
    return out, err


def exit_code(code: int, outputs: tuple[Output, Output]) -> int:
    """Write what is left, say what could not be written, and return the exit code: 1 if something was lost."""
    sys.stdout.flush()
    for output in outputs:
        if output.sentence is not None:
            print(f"reconcile: {output.sentence}", file=sys.stderr)  # noqa: T201
            code = code if code == 2 else 1  # 2 applies before 1
    return code


def _text(output: Output, before: object) -> io.TextIOWrapper:
    was = before if isinstance(before, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=was.encoding if was else "utf-8",
        errors="backslashreplace",
        line_buffering=was.line_buffering if was else True,
        write_through=was.write_through if was else False,
    )
