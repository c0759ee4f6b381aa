"""Whose usage is not billed, read anew from the source: the ledger keeps only how much there is in each window."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from psycopg.rows import dict_row

from reconciler.capture.lookout import Lookout
from reconciler.capture.scope import in_scope, stretches_where
from reconciler.capture.source import open_source, values
from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.ledger import changes, tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model import windows
from reconciler.model.errors import NoTurnError, ReconcileError
from reconciler.model.money import total
from reconciler.model.terms import Stretch
from reconciler.report.customers import Unattributed, Unmapped
from reconciler.report.status import known_meters, require_ledger
from reconciler.settings.load import Settings


class Unbilled:
    """Reads for the meters of the settings that the ledger knows; nothing is changed."""

    def __init__(self, settings: Settings) -> None:
        """Look at the source and the ledger.

        Raises:
            LedgerError: there is no ledger yet, or it has none of these meters.
            MeterChangedError: a meter reads from another source.
            SourceError: the spend table can't be read.
        """
        self._settings = settings
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        with self._ledger.transaction() as connection:
            require_ledger(connection)
            self._meters = known_meters(connection, settings)
        self._sight = self._source.sight()
        for _, meter in self._meters:
            changes.refuse_moved(meter, source=asdict(self._sight.place))

    def unattributed(self, since: datetime) -> Iterator[Unattributed]:
        """Usage without a customer in scope, from `since` on, day by day, the newest first."""
        since = max(since, self._source.oldest_row(since) or self._sight.now)
        for wanted, meter in self._meters:
            for stretch in _days_back(meter, meter.timeline.floor(since), self._sight.now):
                spans = list(in_scope(self._ledger, meter, stretch.since, stretch.until))
                if not spans:
                    continue
                begins, ends = zip(*spans, strict=True)
                given = values(stretch) | {"begins": list(begins), "ends": list(ends)}
                self._source.check(self._sight, stretch.terms)
                totals = self._source.totals(self._sight, stretch.terms)
                whole = statement("capture/unattributed").format(totals=totals)
                with self._source.transaction() as connection:
                    rows = cursor(connection, dict_row).execute(whole, given).fetchall()
                yield from (Unattributed(meter=wanted.name, **row) for row in rows)

    def unmapped(self, since: datetime) -> list[Unmapped]:
        """The customers that the mapping lacks as it is now, those with the most cost first.

        Only windows from `since` on count in which the last look saw some.

        Raises:
            ReconcileError: another pass has the turn of one of the meters for long.
        """
        found: dict[tuple[str, bytes], Unmapped] = {}
        try:
            for id_, line in self._unmapped(since):
                key = line.meter, id_
                found[key] = _joined(found[key], line) if key in found else line
        except NoTurnError as error:
            raise ReconcileError(f"Nothing can be compared now: {error}. Try again.") from error
        return sorted(found.values(), key=lambda line: line.cost, reverse=True)

    def _unmapped(self, since: datetime) -> Iterator[tuple[bytes, Unmapped]]:
        """Chunk by chunk, each customer's usage and its id."""
        window = tables.window.c
        for wanted, meter in self._meters:
            lookout = Lookout(self._settings, wanted, self._source, self._sight, self._ledger)
            comparison = lookout.comparison(lookout.settled(meter))
            chunks = lookout.chunks(self._settings.limits.backfill_turn)
            for stretch in stretches_where(
                self._ledger, meter, (window.start >= since) & (window.unmapped_buckets > 0)
            ):
                for _, rows in chunks.compared(comparison, "capture/unmapped", stretch, dict_row):
                    yield from ((bytes(row.pop("id")), Unmapped(meter=wanted.name, **row)) for row in rows)


def _days_back(meter: Meter, since: datetime, until: datetime) -> Iterator[Stretch]:
    """Cut `[since, until)` at midnight (UTC) and where the meter's terms change, the newest first.

    A day is as much as one statement may sum.
    """
    while since < until:
        begin = max(since, windows.floor(until - timedelta(microseconds=1), windows.DAY))
        yield from reversed(list(meter.timeline.stretches(begin, until)))
        until = begin


def _joined(one: Unmapped, other: Unmapped) -> Unmapped:
    return replace(
        one,
        buckets=one.buckets + other.buckets,
        requests=one.requests + other.requests,
        cost=total([one.cost, other.cost]),
        first_window=min(one.first_window, other.first_window),
        last_window=max(one.last_window, other.last_window),
    )
