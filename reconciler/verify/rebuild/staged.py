"""What was read of Lago, kept in a file until it is all there: so a ledger gets all of it at once, or nothing."""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

import msgspec
from sqlalchemy import Connection

from reconciler.database.postgres import cursor, execute
from reconciler.model.errors import ReconcileError
from reconciler.report.kept import IN_MEMORY
from reconciler.verify.rebuild.decision import Taken

_COLUMNS = Taken.__match_args__


class Staged:
    """Events, in the order in which they were read; memory stays flat."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._file: IO[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 -- closed by `close`

    def close(self) -> None:
        """Forget all."""
        self._file.close()

    def add(self, event: Taken) -> None:
        """Take one more.

        Raises:
            ReconcileError: the folder for temporary files is full.
        """
        try:
            self._file.write(msgspec.json.encode(event) + b"\n")
        except OSError as error:
            raise ReconcileError(
                f"Lago's events can't be kept in a temporary file ({error.strerror}): make room for it, or name "
                "another folder in TMPDIR."
            ) from error

    def copy_to(self, connection: Connection) -> None:
        """Bring them into the transaction, as the temp table held."""
        execute(connection, "rebuild/held_table")
        into = f"COPY pg_temp.held ({', '.join(_COLUMNS)}) FROM STDIN"
        with cursor(connection).copy(into) as rows:
            for event in self._events():
                rows.write_row([getattr(event, column) for column in _COLUMNS])
        cursor(connection).execute("ANALYZE pg_temp.held")

    @staticmethod
    def take_from(connection: Connection) -> None:
        """Drop that table again: a dry run has one transaction for all meters."""
        cursor(connection).execute("DROP TABLE pg_temp.held")

    def _events(self) -> Iterator[Taken]:
        self._file.seek(0)
        decoder = msgspec.json.Decoder(Taken)
        for line in self._file:
            yield decoder.decode(line)
