"""The work of a cut-over: read what the callback has sent, match it with rows, take over what it has billed.

The events are kept as they are read. All the rest is one transaction that has the meter's turn: it is done, or not.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event as Stop
from typing import Any

from psycopg.rows import class_row, scalar_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from reconciler.capture.bring import Bringer
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.source import Sight, Source
from reconciler.database.postgres import execute
from reconciler.delivery.mirror import Mirror
from reconciler.lago.client import Lago
from reconciler.ledger import changes, meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError, UsageError
from reconciler.model.money import plain, total
from reconciler.model.terms import Stretch
from reconciler.model.words import count, minute
from reconciler.report.decisions import person
from reconciler.settings.load import Settings
from reconciler.verify.cutover import callback
from reconciler.verify.cutover.found import Found, Sum
from reconciler.verify.cutover.pairing import SKEW, SLACK, pair
from reconciler.verify.cutover.reading import keep_events
from reconciler.verify.spans import Spans

REACH = timedelta(hours=2)
"""No request takes longer: LiteLLM gives up after 100 minutes, unless it is told otherwise."""

_MOST = 1000
"""So many sums of each kind and way are told."""


class Work:
    """Reads, matches and records one cut-over of one meter."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        sight: Sight,
        ledger: Ledger,
        lago: Lago,
        meter: Meter,
        *,
        since: datetime,
        at: datetime,
        code: str | None,
    ) -> None:
        """Ask nothing yet.

        Args:
            settings: of this one meter.
            source: the spend table.
            sight: what it looks like.
            ledger: where the meter is; a dry one keeps nothing.
            lago: where the callback has sent to.
            meter: as the ledger has it.
            since: the first window.
            at: the end of the last.
            code: the callback's event code; None is the meter's.
        """
        self._settings, self._ledger, self._source, self._lago = settings, ledger, source, lago
        self._meter, self._sight, self._since, self._at = meter, sight, since, at
        self._code = code or meter.timeline.at(at - timedelta(microseconds=1)).code
        self._first = since - REACH
        self._last = min(at + REACH, sight.now - settings.settle)
        one_database = settings.one_database
        self._bring = Bringer(source, sight, ledger, one_database=one_database)
        self._comparison = Comparison(
            settings.meters[0],
            source,
            sight,
            ledger,
            one_database=one_database,
            settled=meter.timeline.floor(sight.now - settings.settle),
        )

    def run(self, *, record: bool) -> Found:
        """Find what the callback has billed, and put it on record if told to.

        Raises:
            NoTurnError: a pass has the meter's turn.
            ReconcileError: as `Cutover.run`.
        """
        changes.refuse_another_organization(self._meter, self._lago.organization())
        metric = self._lago.metric(self._code)
        if metric is None and self._code != self._meter.timeline.latest.code:
            raise UsageError(f"Lago has no billable metric with the code {self._code!r}: --code is the callback's.")
        needs = callback.needed(metric)
        computed = str(metric.get("field_name")) if metric and metric.get("expression") else None
        self._see_columns()
        keep_events(
            self._ledger, self._lago, self._meter.name, self._code, self._first - SKEW, self._last, computed=computed
        )
        elsewhere = self._elsewhere()
        found = Found(self._meter.name, self._since, self._at, self._code)
        with self._ledger.transaction(planning=True) as connection:
            meters.take_turn(connection, self._meter.name, seconds=self._settings.limits.backfill_turn)
            with connection.begin_nested() as savepoint:
                self._look(connection, found, callback.counted_by(needs), elsewhere)
                if record:
                    self._record(connection, found)
                else:
                    savepoint.rollback()
        return found

    def _see_columns(self) -> None:
        for stretch in self._stretches(self._first, self._last):
            self._source.check(self._sight, stretch.terms)

    def _elsewhere(self) -> list[str]:
        """Names that the callback has sent usage for, of which Lago has no subscription, and which are not ours."""
        customers: set[str] = set()
        chunks = self._chunks()
        for stretch in self._stretches(self._since, self._at):
            values = {"callback_code": self._code}
            for _, found in chunks.compared(self._comparison, "cutover/elsewhere", stretch, scalar_row, values):
                customers.update(found)
        known = Spans(Mirror(self._meter, self._ledger, self._lago, None, datetime.now(UTC))).known(customers)
        return [name for name, span in known.items() if span.status == "none"]

    def _look(self, connection: Connection, found: Found, by: str | None, elsewhere: list[str]) -> None:
        """Match, see what fits beside what is billed, and take the figures."""
        self._each(connection, self._first, self._last, lambda chunk: self._bring.requests(connection, chunk, REACH))
        values: dict[str, Any] = {"meter": self._meter.name, "code": self._code, "by": by, "elsewhere": elsewhere}
        execute(connection, "cutover/counted", values | {"since": self._first - SKEW, "until": self._last})
        pair(connection)
        span = {"meter": self._meter.name, "since": self._since, "until": self._at}
        execute(connection, "cutover/taking", span)
        self._see_what_fits(connection, span)
        row = class_row(Sum)
        found.sums = execute(connection, "cutover/report", span | {"slack": SLACK, "most": _MOST}, row).fetchall()
        found.events = execute(connection, "cutover/read", {"since": self._since}, scalar_row).fetchone() or 0
        if found.is_implausible:
            raise ReconcileError(
                f"What the callback has sent does not fit the spend table: {found.requests('no row'):,} of its events "
                f"have no row, and {count(found.requests('missed'), 'row')} no event. Nothing was recorded. See that "
                "LAGO_API_CHARGE_BY is the callback's, that --code is, and that the proxy writes UTC."
            )

    def _see_what_fits(self, connection: Connection, span: dict[str, Any]) -> None:
        unfit: list[Any] = []

        def see(chunk: Stretch) -> None:
            rows = self._comparison.rows(connection, "cutover/unfit", chunk, tuple_row)
            unfit.extend(rows)

        self._each(connection, self._since, self._at, see)
        if not unfit:
            return
        [(is_known,)] = execute(connection, "cutover/earlier", span).fetchall()
        if not is_known:
            requests, cost = sum(row[2] for row in unfit), total(row[3] for row in unfit)
            first, last = min(row[0] for row in unfit), max(row[0] for row in unfit)
            raise ReconcileError(
                f"Meter {self._meter.name!r} has billed by itself what the callback has billed, too: "
                f"{count(requests, 'request')} of {plain(cost)} USD in windows from {minute(first)} to {minute(last)}. "
                "Nothing was recorded. Choose an earlier --at, up to which the meter has billed nothing; what was "
                "billed twice, credit in Lago."
            )
        values = {"windows": [row[0] for row in unfit], "buckets": [row[1] for row in unfit]}
        execute(connection, "cutover/does_not_fit", values)

    def _record(self, connection: Connection, found: Found) -> None:
        if found.requests("taken over") or not self._is_known(connection):
            figures = Jsonb([each.as_json() for each in found.by("all")])
            values = {"meter": self._meter.name, "since": self._since, "until": self._at, "code": self._code}
            execute(connection, "cutover/record", values | {"by": person(), "figures": figures})
        found.is_recorded = True

    def _is_known(self, connection: Connection) -> bool:
        span = {"meter": self._meter.name, "since": self._since, "until": self._at}
        return bool(execute(connection, "cutover/earlier", span, scalar_row).fetchone())

    def _each(self, connection: Connection, since: datetime, until: datetime, work: Callable[[Stretch], None]) -> None:
        """Do some work chunk by chunk, all in one transaction; what took too long is undone, and done in parts."""

        def one(chunk: Stretch) -> None:
            with self._ledger.plain_errors(), connection.begin_nested():
                work(chunk)

        chunks = self._chunks()
        for stretch in self._stretches(since, until):
            for _ in chunks.each(stretch, one):
                pass

    def _chunks(self) -> Chunks:
        limits = self._settings.limits
        return Chunks(self._meter.name, self._ledger, turn=limits.backfill_turn, seconds=limits.chunk, stopping=Stop())

    def _stretches(self, since: datetime, until: datetime) -> list[Stretch]:
        """Whole windows that hold `[since, until)`."""
        timeline = self._meter.timeline
        last = timeline.floor(until)
        end = until if last == until else timeline.window_end(last)
        return list(timeline.stretches(timeline.floor(since), end))
