"""Looks at the spend table for the doctor: READ ONLY, each statement within seconds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from psycopg import sql
from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.capture.source import TABLE, Sight, Source, values
from reconciler.database.postgres import cursor, execute
from reconciler.database.statements import statement
from reconciler.model import windows
from reconciler.model.terms import Stretch, Terms
from reconciler.settings.load import Settings
from reconciler.verify.doctor.check import Untold, told
from reconciler.verify.doctor.source_facts import Layout, Rows, Scan, Server, SourceFacts, Table, Verdicts

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


class AskSource:
    """Gathers the facts of one source."""

    def __init__(self, settings: Settings, source: Source) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._source = source
        self.sight: Sight | None = None
        """What the source looks like; None until it was seen, or if it can't be read."""

    def facts(self) -> SourceFacts:
        """All that can be told; what fails is told as such, and what depends on it is not asked."""
        where = self._settings.source
        server = told(self._server)
        facts = SourceFacts(f"{where.variable} ({where.display})", server, datetime.now(UTC))
        if isinstance(server, Untold):
            return facts
        sight = told(self._source.sight)
        if isinstance(sight, Untold):
            return replace(facts, table=sight)
        layout = told(self._layout)
        if isinstance(layout, Untold):
            return replace(facts, table=layout)
        place = f"{sight.place.database}, schema {sight.place.schema!r}"
        columns = {meter.name: told(partial(self._source.check, sight, meter.terms)) for meter in self._settings.meters}
        facts = replace(facts, table=Table(place, sight.columns | sight.hidden, sight.now, layout), columns=columns)
        if layout.is_hidden or any(columns.values()):
            return facts
        self.sight = sight
        return self._of_rows(facts, sight)

    def _of_rows(self, facts: SourceFacts, sight: Sight) -> SourceFacts:
        terms = {meter.name: meter.terms for meter in self._settings.meters}
        newest = told(lambda: self._source.newest_row(sight.now))
        verdicts = {name: told(partial(self._verdicts, sight, each)) for name, each in terms.items()}
        week_ago = None
        if not all(verdicts.values()):  # a day without rows
            week_ago = self._rows_a_week_ago(sight, next(iter(terms.values())))
        return replace(
            facts,
            scans=told(lambda: self._scans(sight, next(iter(terms.values())))),
            verdicts=verdicts,
            week_ago=week_ago,
            oldest=told(self._source.oldest_row),
            newest=newest,
        )

    def _server(self) -> Server:
        with self._source.transaction() as connection:
            return server_of(connection)

    def _layout(self) -> Layout:
        table = {"schema": self._settings.source.schema, "name": TABLE}
        with self._source.transaction() as connection:
            found: Layout | None = execute(connection, "doctor/layout", table, class_row(Layout)).fetchone()
        assert found is not None, "its sight was seen"
        return found

    def _scans(self, sight: Sight, terms: Terms) -> list[Scan]:
        """How Postgres would read for a fresh look of a meter; nothing is read."""
        until = windows.floor(sight.now - self._settings.settle, terms.window)
        stretch = Stretch(terms, windows.floor(until - self._settings.lookback, terms.window), until)
        query = sql.SQL("EXPLAIN (FORMAT JSON) {}").format(self._source.totals(sight, terms))
        with self._source.transaction() as connection:
            row = cursor(connection).execute(query, values(stretch)).fetchone()
        assert row is not None
        return list(scans(row[0][0]["Plan"]))

    def _verdicts(self, sight: Sight, terms: Terms) -> Verdicts:
        query = statement("doctor/verdicts").format(totals=self._source.totals(sight, terms))
        stretch = Stretch(terms, windows.floor(sight.now - DAY, terms.window), sight.now)
        with self._source.transaction() as connection:
            found = cursor(connection).execute(query, values(stretch)).fetchall()
        return {verdict: Rows(rows, cost) for verdict, rows, cost in found}

    def _rows_a_week_ago(self, sight: Sight, terms: Terms) -> int | None:
        until = windows.floor(sight.now - WEEK, terms.window)
        found = told(lambda: self._source.count(Stretch(terms, until - DAY, until)))
        return None if isinstance(found, Untold) else found


def server_of(connection: Connection) -> Server:
    """What the Postgres of a transaction says of itself."""
    found: Server | None = execute(connection, "doctor/server", None, class_row(Server)).fetchone()
    assert found is not None
    return replace(found, now=found.now.astimezone(UTC))


def scans(node: Mapping[str, Any]) -> Iterator[Scan]:
    """How a plan of Postgres reads tables, as EXPLAIN tells it in JSON."""
    kind = str(node.get("Node Type"))
    if "Relation Name" in node:
        conditions = [node.get("Index Cond"), *(each.get("Index Cond") for each in node.get("Plans", ()))]
        by_index = any("startTime" in str(condition) for condition in conditions)
        yield Scan(str(node["Relation Name"]), by_index and kind != "Seq Scan", float(node["Total Cost"]))
        return
    for each in node.get("Plans", ()):
        yield from scans(each)
