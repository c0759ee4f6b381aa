"""Whose usage the spend table holds, before anything is billed: no ledger is needed.

It is read day by day: one statement may sum no more.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import namedtuple_row
from sqlalchemy import Connection

from reconciler.capture.source import Sight, Source, values
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import cursor, execute
from reconciler.database.statements import statement
from reconciler.model import windows
from reconciler.model.terms import Stretch
from reconciler.report.foreseen import Usage
from reconciler.settings.meter import MeterSettings

_ALL: dict[str, Any] = {"customers": None, "moments": None}


class Seen:
    """Reads the usage that one meter would bill, from a moment on."""

    def __init__(self, meter: MeterSettings, source: Source, sight: Sight, since: datetime) -> None:
        """Read nothing yet.

        Raises:
            SourceError: the role can't read what the meter's terms need.
        """
        source.check(sight, meter.terms)
        self._terms = meter.terms
        self._source = source
        self._sight = sight
        oldest = source.oldest_row(since)
        self._since = windows.floor(max(since, oldest or sight.now), meter.window)

    def usage(self) -> tuple[dict[str, Usage], int]:
        """Each customer's usage, and how often a name was too long for Lago."""
        return self._read(self._sight.now, _ALL)

    def before(self, moments: Mapping[str, datetime]) -> dict[str, Usage]:
        """That part of some customers' usage whose events lie before a moment each."""
        if not moments:
            return {}
        until = min(max(moments.values()), self._sight.now)
        return self._read(until, {"customers": list(moments), "moments": list(moments.values())})[0]

    def _read(self, until: datetime, asked: Mapping[str, Any]) -> tuple[dict[str, Usage], int]:
        found: dict[str, Usage] = {}
        long: set[str] = set()
        for stretch in self._days(until):
            totals = self._source.totals(self._sight, stretch.terms)
            whole = statement("capture/seen").format(totals=totals)
            with self._source.transaction() as connection:
                rows = cursor(connection, namedtuple_row).execute(whole, {**values(stretch), **asked}).fetchall()
            for row in rows:
                if row.too_long:
                    long.add(row.customer)
                    continue
                usage = Usage(row.events, row.cost, row.first_window, row.last_window)
                found[row.customer] = found.get(row.customer, Usage()).and_(usage)
        return found, len(long)

    def _days(self, until: datetime) -> Iterator[Stretch]:
        since = self._since
        while since < until:
            end = min(windows.floor(since, windows.DAY) + timedelta(days=1), until)
            yield Stretch(self._terms, since, end)
            since = end


def subscriptions_of(connection: Connection, meter: MeterSettings, customers: list[str]) -> dict[str, str | None]:
    """What customers' subscriptions are called, as the meter's events will have it; None where the mapping lacks one.

    Args:
        connection: a transaction of the ledger's database.
        meter: the meter's settings.
        customers: whose.

    Raises:
        SettingsError: the mapping can't be read, or is not sound.
    """
    names = Subscriptions(meter)
    names.check(connection)
    execute(connection, "capture/totals_table")
    with cursor(connection).copy("COPY pg_temp.totals FROM STDIN") as rows:
        for customer in customers:
            rows.write_row(("epoch", customer, "", "billable", 0, 0, 0, 0))  # the customer is all that counts here
    names.load(connection)
    template = {"template": meter.subscription}
    found = execute(connection, "capture/subscriptions_of", template, subscription=names.expression, mapping=names.join)
    return dict(found.fetchall())
