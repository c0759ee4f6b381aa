"""The backlog of a meter: whether delivery has anything to do."""

from typing import NamedTuple

from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.database.postgres import execute


class Backlog(NamedTuple):
    """What waits for delivery.

    Attributes:
        planned: how many events are planned.
        held: whether some are held, which may be let go.
        unsubscribed: whether Lago is to be asked again about usage without a subscription.
    """

    planned: int
    held: bool
    unsubscribed: bool


def backlog(connection: Connection, meter: str) -> Backlog:
    """Read what waits for delivery."""
    found: Backlog
    [found] = execute(connection, "ledger/backlog", {"meter": meter}, class_row(Backlog)).fetchall()
    return found
