"""A statement for one customer, read anew from the source, the ledger and Lago; nothing is changed.

What counts is what the capture counts: its totals are compared with what is billed, as a deep look does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from psycopg.rows import dict_row

from reconciler.capture.lookout import Lookout
from reconciler.capture.scope import in_scope
from reconciler.capture.source import FIRST_YEAR, Sight, open_source
from reconciler.database.postgres import execute
from reconciler.lago.client import Lago
from reconciler.ledger import changes, credit
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import NoTurnError, ReconcileError, UsageError
from reconciler.model.guesses import alike
from reconciler.model.visible import brief
from reconciler.model.when import When, whole_windows
from reconciler.model.words import minute
from reconciler.report import events
from reconciler.report.closing import closings
from reconciler.report.events import Event
from reconciler.report.kept import kept
from reconciler.report.statement import Difference, Figures, Line, Statement, Sums
from reconciler.report.status import known_meters, require_ledger
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.customers_count import counted
from reconciler.verify.findings import Kind
from reconciler.verify.lagos_count import LAST
from reconciler.verify.table_and_ledger import KINDS

UNSETTLED = Kind(
    "not settled yet", drift=False, means="Passes look at a window once it is over and RECONCILE_SETTLE has gone by."
)

_WHY = KINDS | {"unsettled": UNSETTLED}


class Explanation:
    """Explains with one set of settings."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)

    def of(
        self, customer: str, since: When | None = None, until: When | None = None, *, lines_only: bool = False
    ) -> list[Statement]:
        """A statement of each meter of the settings that knows the customer.

        Args:
            customer: as the charge-by column has it.
            since: from there on; None is the horizon.
            until: up to there, exclusive; None is now.
            lines_only: leave out events and what Lago counts. That Lago can't be asked is in the statement.

        Raises:
            UsageError: nothing is known of the customer, or the span makes no sense.
            ReconcileError: source or ledger can't be used, or a meter reads from another source.
        """
        if not customer.strip():
            raise UsageError(
                "Usage without a customer is nobody's: `reconcile customers --unattributed` shows it by day and model."
            )
        try:
            with self._ledger.transaction() as connection:
                require_ledger(connection)
                known = known_meters(connection, self._settings)
            sight = self._source.sight()
            span = since, until
            found = [self._one(wanted, meter, sight, customer, *span, lines_only=lines_only) for wanted, meter in known]
            statements = [each for each in found if not each.is_empty]
            if not statements:
                raise UsageError(self._unknown(customer, [meter for _, meter in known], found))
            if not lines_only:
                self._ask({meter.name: meter for _, meter in known}, statements, sight.now)
        except NoTurnError as error:
            raise ReconcileError(f"Nothing can be compared now: {error}. Try again.") from error
        finally:
            self._source.close()
            self._ledger.close()
        return statements

    def _one(
        self,
        wanted: MeterSettings,
        meter: Meter,
        sight: Sight,
        customer: str,
        since: When | None,
        until: When | None,
        *,
        lines_only: bool,
    ) -> Statement:
        changes.refuse_moved(meter, source=asdict(sight.place))
        floor, settings = meter.timeline.floor, self._settings
        begin, end = whole_windows(since or (lambda now: now - settings.horizon), until, sight.now, floor)
        end = min(end or LAST, meter.timeline.window_end(floor(sight.now)))
        settled = floor(sight.now - settings.settle)
        first, subscriptions = self._billed_to(meter, customer, begin, end)
        known = [floor(moment) for moment in (first, self._source.oldest_row(begin)) if moment]
        looked_from = max(begin, min(known, default=end))
        sums = Sums()
        lines = kept(sums.over(self._lines(wanted, meter, sight, customer, looked_from, end, settled)), Line)
        with self._ledger.transaction() as connection:
            credits_ = credit.standing(connection, meter.name, customer)
            closes = closings(connection, meter.name, subscriptions, begin, end)
        theirs_in_ledger = events.pages(self._ledger, meter.name, customer=customer, since=begin, until=end)
        return Statement(
            meter=meter.name,
            customer=customer,
            since=begin,
            until=end,
            start=meter.start,
            settled=settled,
            figures=sums.figures,
            lines=lines,
            events=kept(() if lines_only else theirs_in_ledger, Event),
            credits=[each for each in credits_ if begin <= each.window_start < end],
            subscriptions=subscriptions,
            closings=closes,
        )

    def _lines(
        self,
        wanted: MeterSettings,
        meter: Meter,
        sight: Sight,
        customer: str,
        since: datetime,
        until: datetime,
        settled: datetime,
    ) -> Iterator[Line]:
        """Days and models, the oldest first. Windows that are not settled are compared, too."""
        lookout = Lookout(self._settings, wanted, self._source, sight, self._ledger)
        comparison, chunks = lookout.comparison(settled), lookout.chunks(self._settings.limits.turn)
        fresh_since = meter.timeline.floor(meter.watermark - self._settings.lookback)
        values = {"customer": customer, "fresh_since": fresh_since}

        def rows() -> Iterator[dict[str, Any]]:
            for start, end in in_scope(self._ledger, meter, since, until):
                for stretch in meter.timeline.stretches(start, end):
                    for _, found in chunks.compared(comparison, "report/statement", stretch, dict_row, values):
                        yield from found

        return _by_day(meter.name, rows())

    def _billed_to(
        self, meter: Meter, customer: str, since: datetime, until: datetime
    ) -> tuple[datetime | None, list[str]]:
        """The first window of which something is billed, and the subscriptions that it went to."""
        values = {"meter": meter.name, "customer": customer, "since": since, "until": until}
        [(first, subscriptions)] = self._ledger.once("report/billed_to", values)
        return first and first.astimezone(UTC), subscriptions

    def _unknown(self, customer: str, known: list[Meter], found: list[Statement]) -> str:
        """That nothing is known of the customer in the span, and who may be meant."""
        names: set[str] = set()
        elsewhere, start = False, max(meter.start for meter in known)
        for meter in known:
            values = {"meter": meter.name, "since": found[0].since}
            with self._ledger.transaction() as connection:
                names.update(name for (name,) in execute(connection, "report/names", values))
            for span in ((FIRST_YEAR, found[0].since), (found[0].until, LAST)):
                elsewhere |= self._billed_to(meter, customer, *span)[0] is not None
        days = f"from {minute(found[0].since)} to {minute(found[0].until)}"
        said = f"Nothing is known of the customer {brief(customer, 200)!r} {days}"
        if elsewhere:
            return f"{said}; other days have usage: name them by --since and --until."
        if start > found[0].since:
            said += f", and billing starts at {minute(start)}: of what is earlier only what was backfilled is looked at"
        like = alike(customer, names)
        guess = (
            f"did you mean {' or '.join(map(repr, like))}?" if like else "`reconcile customers` lists who was billed."
        )
        return f"{said}; {guess}"

    def _ask(self, known: dict[str, Meter], statements: list[Statement], now: datetime) -> None:
        """Ask Lago what it counts; why it can't be asked is noted."""
        try:
            lago = Lago.of(self._settings, stays="Nothing was changed")
        except ReconcileError as error:
            for statement in statements:
                statement.error = error
            return
        try:
            failed: ReconcileError | None = None
            for statement in statements:
                try:
                    if failed is None:
                        meter, horizon = known[statement.meter], now - self._settings.horizon
                        statement.counted = counted(meter, self._ledger, lago, statement, now=now, horizon=horizon)
                except ReconcileError as error:
                    failed = error
                statement.error = failed
        finally:
            lago.close()


def _by_day(meter: str, rows: Iterable[dict[str, Any]]) -> Iterator[Line]:
    """Lines of rows that are in the order of their days; a day may come in parts, and only one is in memory."""
    for day, some in groupby(rows, key=itemgetter("day")):
        models: dict[str, Figures] = {}
        for row in some:
            models[row["model"]] = models.get(row["model"], Figures()).plus(_figures(row))
        yield from (Line(meter, day, model, models[model]) for model in sorted(models))


def _figures(row: dict[str, Any]) -> Figures:
    reasons = zip(row["fates"], row["buckets"], row["costs"], strict=True)
    differences = tuple(Difference(_WHY[fate].name, _WHY[fate].means, number, cost) for fate, number, cost in reasons)
    arrays = {"day", "model", "fates", "buckets", "costs"}
    return Figures(**{name: value for name, value in row.items() if name not in arrays}, differences=differences)
