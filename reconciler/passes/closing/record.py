"""What the ledger keeps of a close: up to when it billed whose usage, and how it ended.

It is no row of `reconciler.run`: passes are judged by those, and a close makes up for none.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, update
from sqlalchemy.dialects.postgresql import insert

from reconciler.ledger import tables
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError
from reconciler.model.identity import name_hash
from reconciler.report.closing import Closed
from reconciler.report.decisions import person


@dataclass(frozen=True)
class Record:
    """Keeps what one close has come to for one meter.

    Attributes:
        ledger: where.
        customer: whom the call named.
        instant: up to when usage is billed.
    """

    ledger: Ledger
    customer: str
    instant: datetime

    def begin(self, connection: Connection, closed: Closed) -> None:
        """Note that the subscription is closed: what comes later is of the plan that follows."""
        assert closed.subscription is not None
        names = {"subscription": closed.subscription, "customer": self.customer, "closed_by": person()}
        connection.execute(insert(tables.closing).values(self._key(closed) | names).on_conflict_do_nothing())

    def end(self, closed: Closed) -> None:
        """Note how it ended, if it was begun; that this can't be noted is the meter's error."""
        table = tables.closing
        ours = [table.c[name] == value for name, value in self._key(closed).items()]
        billed = {"events": closed.events, "cost": closed.cost}
        ended = billed | {"ended_at": func.clock_timestamp(), "outcome": closed.told}
        try:
            with self.ledger.transaction() as connection:
                connection.execute(update(table).where(*ours).values(ended))
        except ReconcileError as error:
            closed.error = closed.error or error

    def _key(self, closed: Closed) -> dict[str, object]:
        return {
            "meter": closed.meter,
            "id": name_hash(closed.subscription or ""),
            "instant": self.instant,
        }
