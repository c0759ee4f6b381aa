"""Rows that are read at once and told later: no transaction waits for a reader that pauses, and memory stays flat."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

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
    reading = _reading(rows, kind)
    next(reading)
    return reading


def _reading(rows: Iterable[Row], kind: type[Row]) -> Iterator[Any]:
    """First nothing, once all is read; then the rows. Whoever leaves some unread leaves no file open."""
    with SpooledTemporaryFile(IN_MEMORY) as file:
        try:
            for row in rows:
                file.write(msgspec.json.encode(row) + b"\n")
            file.seek(0)
        except OSError as error:
            raise ReconcileError(
                f"The list can't be kept in a temporary file ({error.strerror}): make room for it, or name another "
                "folder in TMPDIR."
            ) from error
        yield None
        decoder = msgspec.json.Decoder(kind)
        for line in file:
            yield decoder.decode(line)
