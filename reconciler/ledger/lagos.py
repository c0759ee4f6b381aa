"""What the ledger knows of each Lago: which event store it has, and since when it is away.

An outage may last for hours while cron starts a pass every few minutes. So the ledger remembers it: after half a
minute only one pass at a time asks whether Lago is back, the less often the longer it has been away, and the others
plan and leave delivery alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from reconciler.lago.stores import Store
from reconciler.ledger import tables

PATIENCE = timedelta(seconds=30)
"""For so long after the first failure every pass asks."""

LONGEST_PAUSE = timedelta(minutes=1)
"""However long Lago is away, it is asked again after this."""

table = tables.lago

_THIS = table.c.base == bindparam("of")
_LOCKED = select(table, func.clock_timestamp().label("now")).where(_THIS).with_for_update()
_ASKED = update(table).where(_THIS).values(asked_at=bindparam("now"))


@dataclass(frozen=True)
class KnownLago:
    """One Lago.

    Attributes:
        store: its event store, as last seen.
        asked_at: when a delivery last began to ask it.
        away_since: since when it can't be reached; None if it can.
    """

    store: Store
    asked_at: datetime
    away_since: datetime | None

    @property
    def next_at(self) -> datetime:
        """When it may be asked again."""
        if self.away_since is None:
            return self.asked_at
        pause = (self.asked_at - self.away_since - PATIENCE) / 2
        return self.asked_at + min(max(pause, timedelta(0)), LONGEST_PAUSE)


def load(connection: Connection, base: str) -> KnownLago | None:
    """What is known of the Lago at that address, None if it was never asked."""
    row = connection.execute(select(table).where(table.c.base == base)).one_or_none()
    return None if row is None else KnownLago(row.store, row.asked_at, row.away_since)


def may_ask(connection: Connection, base: str) -> tuple[KnownLago, bool]:
    """What was known, and whether it is this pass's turn to ask; of those that come at once only one's.

    Args:
        connection: a transaction of its own; it waits for another's.
        base: Lago's address.
    """
    this = {"of": base}
    row = connection.execute(_LOCKED, this).one_or_none()
    if row is None:
        connection.execute(insert(table).values(base=base).on_conflict_do_nothing())
        row = connection.execute(_LOCKED, this).one()
    known = KnownLago(row.store, row.asked_at, row.away_since)
    if row.now < known.next_at:
        return known, False
    connection.execute(_ASKED, this | {"now": row.now})
    return known, True


def has_store(connection: Connection, base: str, store: Store) -> None:
    """Note which store it has."""
    connection.execute(update(table).where(table.c.base == base).values(store=store))


def is_back(connection: Connection, base: str) -> None:
    """Note that it works."""
    connection.execute(update(table).where(table.c.base == base).values(away_since=None))


def is_away(connection: Connection, base: str) -> None:
    """Note that it can't be reached; since when, is kept."""
    since = func.coalesce(table.c.away_since, func.clock_timestamp())
    connection.execute(update(table).where(table.c.base == base).values(away_since=since))
