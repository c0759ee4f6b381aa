"""Whose usage the spend table holds, before anything is billed: no ledger is needed.

It is read day by day: one statement may sum no more.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row

from reconciler.capture.source import Sight, Source, values
from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.model import windows
from reconciler.model.terms import Stretch
from reconciler.report.usage import Slice, Usage, Used, asked, in_slices
from reconciler.settings.meter import MeterSettings


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

    def usage(self) -> tuple[Used, int]:
        """Each customer's usage by model, and how many names are too long for Lago."""
        found: dict[str, dict[str, Usage]] = defaultdict(dict)
        long: set[str] = set()
        for row in self._read("capture/seen", self._since, self._sight.now, {}):
            customer, model = row.pop("customer"), row.pop("model")
            if row.pop("too_long"):
                long.add(customer)
            else:
                found[customer][model] = found[customer].get(model, Usage()).and_(Usage(**row))
        return found, len(long)

    def within(self, slices: Sequence[Slice]) -> list[Usage]:
        """How much of it lies in each slice; their names are customers."""
        if not slices:
            return []
        begin = max(self._since, windows.floor(min(one.since for one in slices), self._terms.window))
        end = min(max(one.until for one in slices), self._sight.now)
        return in_slices(slices, self._read("capture/seen_slices", begin, end, asked(slices)))

    def _read(self, name: str, since: datetime, until: datetime, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows of a statement, day by day."""
        for stretch in self._days(since, until):
            totals = self._source.totals(self._sight, stretch.terms)
            whole = statement(name).format(totals=totals)
            with self._source.transaction() as connection:
                yield from cursor(connection, dict_row).execute(whole, {**values(stretch), **asked}).fetchall()

    def _days(self, since: datetime, until: datetime) -> Iterator[Stretch]:
        while since < until:
            end = min(windows.floor(since, windows.DAY) + timedelta(days=1), until)
            yield Stretch(self._terms, since, end)
            since = end
