"""The ledger as a whole: its transactions, and its schema made when first needed."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

from psycopg.rows import RowFactory, tuple_row
from psycopg.sql import Composable
from sqlalchemy import Connection

from reconciler.database.pool import Pool
from reconciler.database.postgres import SET_BASED, Postgres, cursor, execute
from reconciler.ledger import alarms, schema
from reconciler.ledger.balance import Balance
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.passes import Passes, Patience
from reconciler.model.errors import LedgerError
from reconciler.settings.load import Settings


class Ledger:
    """Opens transactions on the ledger.

    A dry ledger is one transaction that is never committed. What is done in it is undone at once, so that no pass waits
    for it; only the making of what was not there is seen by the rest of the dry run, and by nobody else.
    """

    def __init__(self, postgres: Postgres, source_schema: str, *, read_only: bool = False) -> None:
        """Use the ledger that `postgres` reaches, perhaps beside a spend table in `source_schema`.

        With `read_only` Postgres refuses whatever would write, temp tables too.
        """
        self._postgres = postgres
        self._source_schema = source_schema
        self._read_only = read_only
        self._dry: Connection | None = None

    @property
    def is_dry(self) -> bool:
        """Whether nothing that is done here will last."""
        return self._dry is not None

    def upgrade(self) -> bool:
        """Make or upgrade the schema; say whether anything was done.

        Raises:
            LedgerError: it belongs to somebody else, or is not of this program's version.
        """
        with self.transaction() as connection:
            schema.check_owners(connection, self._source_schema)
            if schema.version(connection) == schema.HEAD:
                return False
        with self.transaction(making=True) as connection:
            schema.make(connection)
        # Who has waited for another's schema sees it for sure in a new transaction only.
        with self.transaction(making=True) as connection:
            done = schema.upgrade(connection)
            schema.check_owners(connection, self._source_schema)
        return done

    @contextmanager
    def transaction(self, *, planning: bool = False, making: bool = False) -> Iterator[Connection]:
        """One transaction, committed at the end; in a dry run a savepoint, undone at the end.

        Args:
            planning: whether it sums and joins whole sets, as planning a chunk does.
            making: whether it makes what later ones need; a dry run undoes that at its own end only.
        """
        if self._dry is not None:
            with self._postgres.plain_errors(), self._dry.begin_nested() as savepoint:
                yield self._dry
                if not making:
                    savepoint.rollback()  # with its locks on rows, which a pass may wait for
            return
        local = SET_BASED if planning else None
        with self._postgres.transaction(read_only=self._read_only, local=local) as connection:
            yield connection

    def stay(self) -> None:
        """Tell a dry ledger's server that this program is at work: it ends a transaction that waits for long."""
        if self._dry is not None:
            with self._postgres.plain_errors():
                cursor(self._dry).execute("SELECT 1")

    def once(
        self, name: str, values: Mapping[str, Any], row: RowFactory[Any] = tuple_row, **fragments: Composable
    ) -> list[Any]:
        """The rows of a statement, as `execute` has it, in a transaction of its own."""
        with self.transaction() as connection:
            return execute(connection, name, values, row, **fragments).fetchall()

    def ring(self, connection: Connection, meter: str, alarm: Alarm) -> None:
        """Ring an alarm of a meter; a dry ledger leaves it, since even what is undone would use up a number."""
        if not self.is_dry:
            alarms.ring(connection, meter, alarm)

    def clear(self, connection: Connection, meter: str, kind: str) -> None:
        """End an alarm whose cause is gone; a dry ledger leaves it."""
        if not self.is_dry:
            alarms.clear(connection, meter, kind)

    def review(self, connection: Connection, meter: str, balance: Balance, passes: Passes, patience: Patience) -> None:
        """Ring and clear the alarms that follow from how a meter stands; a dry ledger leaves them."""
        if not self.is_dry:
            alarms.review(connection, meter, balance, passes, patience)

    def standing(self, connection: Connection, meter: str) -> tuple[list[dict[str, Any]], list[int]]:
        """The alarms of a meter that stand, as plain values, and which of them this pass is to say in full."""
        standing = alarms.list_standing(connection, meter)
        says = any(row.unsaid for row in standing) and not self.is_dry
        return [alarms.as_json(row) for row in standing], alarms.show(connection, meter) if says else []

    @property
    def pool(self) -> Pool:
        """Its connections, to be shared where the source is the same database."""
        return self._postgres.pool

    def plain_errors(self) -> AbstractContextManager[None]:
        """Turn what the ledger's Postgres says in a block into one sentence that names its setting."""
        return self._postgres.plain_errors()

    def close(self) -> None:
        """Close the connections; the next transaction opens another."""
        self._postgres.close()

    @contextmanager
    def dry(self) -> Iterator[None]:
        """Let all transactions inside be one that is rolled back."""
        with self._postgres.transaction(rollback=True, local=SET_BASED) as connection:
            self._dry = connection
            try:
                yield
            finally:
                self._dry = None


def open_ledger(settings: Settings, *, read_only: bool = False) -> Ledger:
    """The ledger that the settings name; with `read_only` for one who is to write nothing at all."""
    return Ledger(
        Postgres(
            settings.ledger,
            error=LedgerError,
            statement_timeout=settings.statement_timeout,
            idle=timedelta(seconds=settings.limits.idle),
        ),
        settings.source.schema,
        read_only=read_only,
    )
