"""The work of a cut-over: read what the callback has sent, match it with rows, take over what it has billed.

The events are kept as they are read. All the rest is one transaction that has the meter's turn: it is done, or not.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import class_row, scalar_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from reconciler.capture.bring import Bringer
from reconciler.capture.lookout import Lookout
from reconciler.capture.source import Sight, Source
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import execute
from reconciler.delivery.mirror import Mirror
from reconciler.lago.client import Lago
from reconciler.lago.shown import computed_by
from reconciler.ledger import changes, meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError, SourceError, UsageError
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

_TELLING = {"model", "model_group"}
"""What the callback calls a model is one of these: without them its events find no row."""

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
        self._last = min(at + REACH, sight.now)
        self._bring = Bringer(source, sight, ledger, one_database=settings.one_database)
        self._lookout = Lookout(settings, settings.meters[0], source, sight, ledger)
        self._comparison = self._lookout.comparison(self._lookout.settled(meter))

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
        self._see_columns()
        sent = {"since": self._first - SKEW, "until": self._last + SKEW}
        keep_events(self._ledger, self._lago, self._meter.name, self._code, **sent, computed=computed_by(metric))
        counted = {"meter": self._meter.name, "code": self._code, **sent}
        counted |= {"by": callback.counted_by(needs), "elsewhere": self._elsewhere(counted)}
        found = Found(self._meter.name, self._since, self._at, self._code)
        with self._ledger.transaction(planning=True) as connection:
            meters.take_turn(connection, self._meter.name, seconds=self._settings.limits.backfill_turn)
            with connection.begin_nested() as savepoint:
                self._look(connection, found, counted)
                if record:
                    self._record(connection, found)
                else:
                    savepoint.rollback()
        return found

    def _see_columns(self) -> None:
        if hidden := sorted(_TELLING & self._sight.hidden):
            raise SourceError(
                f"The role may not read {' and '.join(hidden)} of the spend table, by which the callback's events are "
                "known: grant it (sql/grants/grant_source_columns.sql)."
            )
        for stretch in self._stretches(self._first, self._last):
            self._source.check(self._sight, stretch.terms)

    def _elsewhere(self, counted: dict[str, Any]) -> list[str]:
        """Names that the callback has sent usage for, of which Lago has no subscription, and which are not ours."""
        with self._ledger.transaction() as connection:
            names = execute(connection, "cutover/names", counted, scalar_row).fetchall()
            ours = Subscriptions(self._settings.meters[0]).of(connection, names)
        customers = [name for name in names if ours[name] != name]
        known = Spans(Mirror(self._meter, self._ledger, self._lago, None, datetime.now(UTC))).known(customers)
        return [name for name, span in known.items() if span.status == "none"]

    def _look(self, connection: Connection, found: Found, counted: dict[str, Any]) -> None:
        """Match, see what fits beside what is billed, and take the figures.

        Args:
            connection: the ledger's transaction.
            found: gets the figures.
            counted: the values of counted.sql.
        """
        self._each(connection, self._first, self._last, lambda chunk: self._bring.requests(connection, chunk, REACH))
        execute(connection, "cutover/counted", counted)
        found.events = execute(connection, "cutover/read", {"since": self._since}, scalar_row).fetchone() or 0
        if not found.events:
            raise ReconcileError(
                f"Lago holds no event of LiteLLM's callback under {self._code!r} from {minute(self._since)} on, so "
                "nothing can be taken over. If it has sent under another code, name that by --code; if to another "
                "organization, use that one's LAGO_API_KEY. If it has sent nothing, no cut-over is needed."
            )
        pair(connection)
        span = {"meter": self._meter.name, "since": self._since, "until": self._at}
        self._see_what_is_fresh(connection, span)
        execute(connection, "cutover/taking", span)
        self._see_what_fits(connection, span)
        row = class_row(Sum)
        found.sums = execute(connection, "cutover/report", span | {"slack": SLACK, "most": _MOST}, row).fetchall()
        [(_, is_covered)] = execute(connection, "cutover/earlier", span).fetchall()
        found.is_new = bool(found.requests("taken over")) or not is_covered
        if found.is_implausible:
            raise ReconcileError(
                f"What the callback has sent does not fit the spend table: {found.requests('no row'):,} of its events "
                f"have no row, and {count(found.requests('missed'), 'row')} no event. Nothing was recorded. See that "
                "LAGO_API_CHARGE_BY is the callback's, that --code is, and that the proxy writes UTC."
            )

    def _see_what_is_fresh(self, connection: Connection, span: dict[str, Any]) -> None:
        """See that the events of all rows may be in Lago: ClickHouse shows them late, and clocks differ."""
        late = max(self._settings.settle, self._settings.lag)
        values = span | {"fresh_since": self._sight.now - late}
        [(number, ended)] = execute(connection, "cutover/too_fresh", values).fetchall()
        if number:
            raise ReconcileError(
                f"{count(number, 'request')} from before --at ended a moment ago or may still run, so what the "
                "callback sends of them may not be in Lago yet. Nothing was recorded. Run this again after "
                f"{minute(ended + late + timedelta(minutes=1))}."
            )

    def _see_what_fits(self, connection: Connection, span: dict[str, Any]) -> None:
        unfit: list[Any] = []

        def see(chunk: Stretch) -> None:
            rows = self._comparison.rows(connection, "cutover/unfit", chunk, tuple_row)
            unfit.extend(rows)

        self._each(connection, self._since, self._at, see)
        if not unfit:
            return
        [(is_known, _)] = execute(connection, "cutover/earlier", span).fetchall()
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
        if found.is_new:
            values = {"meter": self._meter.name, "since": self._since, "until": self._at, "code": self._code}
            figures = Jsonb([each.as_json() for each in found.by("all")])
            execute(connection, "cutover/record", values | {"by": person(), "figures": figures})
        found.is_recorded = True

    def _each(self, connection: Connection, since: datetime, until: datetime, work: Callable[[Stretch], None]) -> None:
        """Do some work chunk by chunk, all in one transaction; what took too long is undone, and done in parts."""

        def one(chunk: Stretch) -> None:
            with self._ledger.plain_errors(), connection.begin_nested():
                work(chunk)

        chunks = self._lookout.chunks(self._settings.limits.backfill_turn)
        for stretch in self._stretches(since, until):
            for _ in chunks.each(stretch, one):
                pass

    def _stretches(self, since: datetime, until: datetime) -> list[Stretch]:
        """Whole windows that hold `[since, until)`."""
        timeline = self._meter.timeline
        last = timeline.floor(until)
        end = until if last == until else timeline.window_end(last)
        return list(timeline.stretches(timeline.floor(since), end))
