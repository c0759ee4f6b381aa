"""How a meter stands: what is on its way, what is stuck, what can't be billed."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.database.postgres import cursor
from reconciler.database.statements import statement


@dataclass(frozen=True)
class Standing:
    """The figures of one meter, of all time; unattributed usage over the horizon. Costs in USD.

    Attributes:
        planned_events: waiting to be delivered.
        quarantined_events: refused by Lago for good, those in conflict among them.
        conflicting_events: Lago holds another event under their id.
        held_events: not sent until a person decides.
        discarded_events: given up by a person, with a reason.
        frozen_buckets: buckets whose source total is below what was billed.
        unmapped_buckets: usage of customers that the operator's mapping lacks.
        unmapped_since: the earliest window that has some.
        unattributed_rows: rows without a customer.
        suspect_rows: rows with negative, NaN or infinite spend, or negative tokens.
        late_rows: rows that arrived in windows which retention has reached.
        silent: no rows for three hours, where the same hours of last week had some.
        purge_mark: the window that retention has come to.
    """

    planned_events: int
    planned_cost: Decimal
    quarantined_events: int
    quarantined_cost: Decimal
    conflicting_events: int
    held_events: int
    held_cost: Decimal
    discarded_events: int
    discarded_cost: Decimal
    frozen_buckets: int
    frozen_cost: Decimal
    unmapped_buckets: int
    unmapped_cost: Decimal
    unmapped_since: datetime | None
    unattributed_rows: int
    unattributed_cost: Decimal
    suspect_rows: int
    late_rows: int
    late_cost: Decimal
    silent: bool
    purge_mark: datetime | None


def standing(connection: Connection, meter: str, horizon: datetime) -> Standing:
    """Read how the meter stands, its unattributed usage from `horizon` on."""
    reading = cursor(connection).connection.cursor(row_factory=class_row(Standing))
    row = reading.execute(statement("ledger/standing"), {"meter": meter, "horizon": horizon}).fetchone()
    assert row is not None, "a meter has been made before it is asked about"
    return row
