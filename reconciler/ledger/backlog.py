"""The backlog of a meter: whether delivery has anything to do."""

from typing import NamedTuple

from psycopg.rows import class_row

from reconciler.ledger.store import Ledger


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


def backlog(ledger: Ledger, meter: str) -> Backlog:
    """Read what waits for delivery."""
    found: Backlog
    [found] = ledger.once("ledger/backlog", {"meter": meter}, class_row(Backlog))
    return found
