"""What was sent of periods of subscriptions: how many events Lago is to count, and their units."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row

from reconciler.database.postgres import execute
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.verify.counting import NOTHING, Count, Metric, added

FRESH = timedelta(minutes=10)
"""What was sent so recently Lago's worker may not have come to."""

_DAY = timedelta(days=1)


class Period(NamedTuple):
    """A time of a subscription: `[since, until)`."""

    subscription: str
    since: datetime
    until: datetime


@dataclass
class Sent:
    """What was sent of a period.

    Attributes:
        count: how many events Lago is to count, and their units.
        taken: how much of that LiteLLM's callback has sent.
        settled: how many of these were accepted so long ago that Lago's worker has come to them.
        last: when the last of all events was accepted; None if there is none.
    """

    count: Count = NOTHING
    taken: Count = NOTHING
    settled: int = 0
    last: datetime | None = None


class Sums:
    """Sums what the meters of one organization have sent under a code."""

    def __init__(
        self, meter: Meter, ledger: Ledger, *, code: str, since: datetime, until: datetime, customer: str | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            meter: one of these meters.
            ledger: where the events are.
            code: of the events.
            since: from here on windows are read, or from a period's begin on: an event may have been moved into it.
            until: the ledger's clock; windows up to here are read.
            customer: only this one's usage, by this meter.
        """
        self._ledger = ledger
        self._since = since
        self._until = until
        self._values = {
            "lago": meter.lago,
            "organization": meter.organization,
            "code": code,
            "settled": until - FRESH,
            "meter": meter.name,
            "customer": customer,
        }

    def of(self, periods: Sequence[Period], metric: Metric) -> list[Sent]:
        """What was sent of each period, summed a day of windows at a time.

        A period may begin at any time that Lago says; nothing was sent before the first window of all.
        """
        found = [Sent() for _ in periods]
        if not any(period.since < period.until for period in periods):
            return found
        values: dict[str, Any] = {
            **self._values,
            "subscriptions": [period.subscription for period in periods],
            "since": [period.since for period in periods],
            "until": [period.until for period in periods],
            "property": metric.property,
            "measure": metric.measure,
        }
        [(earliest,)] = self._ledger.once("verify/first_of_all", self._values)
        first = max(min(self._since, *(period.since for period in periods)), earliest or self._until)
        while first < self._until:
            values |= {"first": first, "last": first + _DAY}
            with self._ledger.transaction(planning=True) as connection:
                rows = execute(connection, "verify/usage", values, namedtuple_row).fetchall()
            for row in rows:
                sent = found[row.number - 1]
                sent.count = added([sent.count, Count(row.events, row.units)])
                sent.taken = added([sent.taken, Count(row.taken_events, row.taken_units)])
                sent.settled += row.settled
                sent.last = max(sent.last or row.answered_at, row.answered_at)
            first += _DAY
        return found
