"""Whose usage is not billed, read anew from the source: the ledger keeps only how much there is in each window.

Nothing is written. A statement sums a day at most, as a look would.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from psycopg.rows import dict_row
from sqlalchemy import Connection, select

from reconciler.capture.comparison import Comparison, days
from reconciler.capture.scope import spans
from reconciler.capture.source import open_source, values
from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.ledger import tables
from reconciler.ledger.store import open_ledger
from reconciler.model.money import total
from reconciler.model.terms import Stretch
from reconciler.report.customers import Unattributed, Unmapped
from reconciler.report.status import known_meters, require_ledger
from reconciler.settings.load import Settings


class Unbilled:
    """Reads for the meters of the settings that the ledger knows."""

    def __init__(self, settings: Settings) -> None:
        """Look at the source and the ledger.

        Raises:
            LedgerError: there is no ledger yet, or it has none of these meters.
            SourceError: the spend table can't be read.
        """
        self._settings = settings
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        with self._ledger.transaction() as connection:
            require_ledger(connection)
            self._meters = known_meters(connection, settings)
        self._sight = self._source.sight()
        self._ways = self._source, self._sight, self._ledger
        for wanted, _ in self._meters:
            self._source.check(self._sight, wanted.terms)

    def unattributed(self, since: datetime) -> Iterator[Unattributed]:
        """Usage without a customer from `since` on, day by day, the newest first."""
        since = max(since, self._source.oldest_row(since) or self._sight.now)
        for wanted, meter in self._meters:
            for stretch in days(meter, since, self._sight.now, newest_first=True):
                totals = self._source.totals(self._sight, stretch.terms)
                whole = statement("capture/unattributed").format(totals=totals)
                with self._source.transaction() as connection:
                    rows = cursor(connection, dict_row).execute(whole, values(stretch)).fetchall()
                yield from (Unattributed(meter=wanted.name, **row) for row in rows)

    def unmapped(self, since: datetime) -> list[Unmapped]:
        """The customers that the mapping lacks as it is now, those with the most cost first.

        Only windows from `since` on count in which the last look saw some.
        """
        found: dict[tuple[str, bytes], Unmapped] = {}
        with self._ledger.dry():
            for wanted, meter in self._meters:
                comparison = Comparison(wanted, *self._ways, one_database=self._settings.one_database)
                with self._ledger.transaction() as connection:
                    starts = _unmapped_windows(connection, meter.name, since)
                if not starts:
                    continue
                for stretch in days(meter, starts[0], meter.timeline.window_end(starts[-1])):
                    inside = [start for start in starts if stretch.since <= start < stretch.until]
                    for begin, end in spans(inside, stretch.terms.window):
                        for row in comparison.rows("unmapped", Stretch(stretch.terms, begin, end)):
                            key = (wanted.name, bytes(row.pop("id")))
                            line = Unmapped(meter=wanted.name, **row)
                            found[key] = _joined(found[key], line) if key in found else line
        return sorted(found.values(), key=lambda line: line.cost, reverse=True)


def _unmapped_windows(connection: Connection, name: str, since: datetime) -> list[datetime]:
    table = tables.window.c
    some = select(table.start).where(table.meter == name, table.start >= since, table.unmapped_buckets > 0)
    return [start.astimezone(UTC) for start in connection.scalars(some.order_by(table.start))]


def _joined(one: Unmapped, other: Unmapped) -> Unmapped:
    return replace(
        one,
        buckets=one.buckets + other.buckets,
        requests=one.requests + other.requests,
        cost=total([one.cost, other.cost]),
        first_window=min(one.first_window, other.first_window),
        last_window=max(one.last_window, other.last_window),
    )
