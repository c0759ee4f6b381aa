"""Rows that are read at once and told later: no transaction waits for a reader that pauses, and memory stays flat."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import IO, TypeVar

import msgspec

from reconciler.model.errors import ReconcileError

IN_MEMORY = 8 * 2**20
"""So many bytes are kept in memory; more waits in a temporary file."""

Row = TypeVar("Row")
"""A dataclass of plain values."""


def kept(rows: Iterable[Row], kind: type[Row]) -> Iterator[Row]:
    """The rows, all of which are read before this returns.

    Raises:
        ReconcileError: many find no room in the folder for temporary files.
    """
    with ExitStack() as stack:
        file = stack.enter_context(SpooledTemporaryFile(IN_MEMORY))
        try:
            for row in rows:
                file.write(msgspec.json.encode(row) + b"\n")
            is_empty = not file.tell()
            file.seek(0)
        except OSError as error:
            raise ReconcileError(
                f"The list can't be kept in a temporary file ({error.strerror}): make room for it, or name another "
                "folder in TMPDIR."
            ) from error
        if is_empty:
            return iter(())
        stack.pop_all()  # who reads it closes it
    return _read(file, msgspec.json.Decoder(kind))


def _read(file: IO[bytes], decoder: "msgspec.json.Decoder[Row]") -> Iterator[Row]:
    with file:
        for line in file:
            yield decoder.decode(line)
