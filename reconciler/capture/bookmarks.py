"""How far a look has come, kept in the same transaction as what it planned."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, bindparam, func, select, update

from reconciler.ledger import tables

_MOVED = (
    update(tables.meter)
    .where(tables.meter.c.name == bindparam("of"))
    .values(watermark=func.greatest(tables.meter.c.watermark, bindparam("until", type_=tables.MOMENT)))
)


class Bookmark(Protocol):
    """Keeps the place of a look."""

    def is_past(self, connection: Connection, until: datetime) -> bool:
        """Whether another pass has done the chunk that ends at `until` in the same look meanwhile."""

    def move(self, connection: Connection, until: datetime) -> None:
        """Note that the look has come this far."""


@dataclass(frozen=True)
class Watermark:
    """A fresh look moves the meter's watermark; it looks again at what lies before it."""

    meter: str

    def is_past(self, connection: Connection, until: datetime) -> bool:  # noqa: ARG002
        """Never: each pass looks again."""
        return False

    def move(self, connection: Connection, until: datetime) -> None:
        """Move the watermark on, never back."""
        connection.execute(_MOVED, {"of": self.meter, "until": until})


@dataclass(frozen=True)
class Position:
    """A deep look or a backfill keeps its place; passes that find it unfinished share it."""

    look_id: int

    def is_past(self, connection: Connection, until: datetime) -> bool:
        """Whether the look has come there already."""
        table = tables.look
        return bool(connection.scalar(select(table.c.position >= until).where(table.c.id == self.look_id)))

    def move(self, connection: Connection, until: datetime) -> None:
        """Move the position on, never back."""
        table = tables.look
        position = func.greatest(table.c.position, until)
        connection.execute(update(table).where(table.c.id == self.look_id).values(position=position))


class NoBookmark:
    """A probe keeps no place, its counts are cheap to take again; a dry run leaves no trace."""

    def is_past(self, connection: Connection, until: datetime) -> bool:  # noqa: ARG002
        """Never: nobody else does it."""
        return False

    def move(self, connection: Connection, until: datetime) -> None:
        """Do nothing."""
