"""Verification of all meters: leg by leg, each meter's failure its own. What it finds it mends if told to."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from reconciler.capture.lookout import Lookout
from reconciler.capture.source import Sight, open_source
from reconciler.delivery.mirror import Mirror
from reconciler.lago.client import Lago
from reconciler.lago.organization import Organization
from reconciler.lago.stores import Store
from reconciler.ledger import changes, meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LedgerError, ReconcileError, UsageError
from reconciler.model.when import When, whole_windows
from reconciler.report.decisions import person
from reconciler.report.status import require_ledger
from reconciler.settings.load import MeterSettings, Settings
from reconciler.verify.daily_tables import DailyTables
from reconciler.verify.events_and_count import EventsAndCount
from reconciler.verify.findings import Leg
from reconciler.verify.ledger_and_lago import LedgerAndLago
from reconciler.verify.repair import Repair
from reconciler.verify.report import Report
from reconciler.verify.spans import Spans
from reconciler.verify.table_and_ledger import TableAndLedger


@dataclass(frozen=True)
class Span:
    """What is verified of a meter.

    Attributes:
        since: from which window on the spend table is compared.
        until: the end, exclusive.
        events_since: from where on events are read back.
        again: whether what was verified before is read back again.
    """

    since: datetime
    until: datetime
    events_since: datetime
    again: bool


class Verification:
    """Verifies with one set of settings."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        self._lago = Lago.of(settings, stays="What was verified before stays so")
        self._told: tuple[Organization | None, Store] | None = None
        self._mends = False

    def run(
        self, since: When | None = None, until: When | None = None, *, repair: bool = False, dry_run: bool = False
    ) -> list[Report]:
        """Verify every meter of the settings.

        Args:
            since: verify all from there on, what was verified before as well. None compares the horizon of the spend
                table, and reads back what was never verified.
            until: up to there, exclusive; None is as far as passes have looked.
            repair: plan again what Lago lacks, and make conflicts of what it holds otherwise.
            dry_run: write nothing at all; say what a repair would do.

        Returns:
            A report each. What could not be done is in it.

        Raises:
            ReconcileError: nothing could be done for any meter: source or ledger can't be reached or used.
        """
        if dry_run:
            self._settings.require_two_connections()
        self._mends = repair or dry_run
        try:
            with self._ledger.dry() if dry_run else nullcontext():
                with self._ledger.transaction() as connection:
                    require_ledger(connection)
                sight = self._source.sight()
                return [self._one(wanted, sight, since, until) for wanted in self._settings.meters]
        finally:
            self._lago.close()
            self._source.close()
            self._ledger.close()

    def _one(self, wanted: MeterSettings, sight: Sight, since: When | None, until: When | None) -> Report:
        report = Report(wanted.name)
        try:
            meter = self._meter(wanted, sight)
            span = self._span(meter, sight, since, until)
            report.since, report.until = span.since, span.until
            self._legs(wanted, meter, sight, span, report)
        except UsageError:
            raise
        except ReconcileError as error:
            report.error = error
        return report

    def _meter(self, wanted: MeterSettings, sight: Sight) -> Meter:
        """The meter as the ledger has it, held to what the settings say.

        Raises:
            ReconcileError: there is none yet, or it is another.
        """
        with self._ledger.transaction() as connection:
            meter = meters.load(connection, wanted.name)
            if meter is None:
                raise LedgerError(f"The ledger has no meter {wanted.name!r} yet: run `reconcile` first.")
        changes.refuse_moved(meter, source=asdict(sight.place), lago=self._settings.lago_api_base)
        return meter

    def _span(self, meter: Meter, sight: Sight, since: When | None, until: When | None) -> Span:
        """What to verify, in whole windows that are settled and that passes have looked at.

        Raises:
            UsageError: what was asked for makes no sense.
        """
        floor, settings = meter.timeline.floor, self._settings
        begin, asked_end = whole_windows(since or (lambda now: now - settings.horizon), until, sight.now, floor)
        looked_until = min(floor(sight.now - settings.settle), meter.watermark)
        end = max(min(looked_until, asked_end or looked_until), begin)
        [(first,)] = self._ledger.once("verify/first_window", {"meter": meter.name})
        oldest = self._source.oldest_row(begin)
        known = [floor(moment.astimezone(UTC)) for moment in (first, oldest) if moment]
        return Span(
            since=min(max(begin, min(known, default=begin)), end),
            until=end,
            events_since=begin if since else datetime.min.replace(tzinfo=UTC),
            again=since is not None,
        )

    def _legs(self, wanted: MeterSettings, meter: Meter, sight: Sight, span: Span, report: Report) -> None:
        settings, lookout = self._settings, Lookout(self._settings, wanted, self._source, sight, self._ledger)
        table = TableAndLedger(
            meter,
            lookout.comparison(lookout.settled(meter)),
            lookout.chunks(settings.limits.turn),
            self._ledger,
            fresh_since=meter.timeline.floor(meter.watermark - settings.lookback),
        )
        with _part(report, Leg("a", "LiteLLM's daily table", "the spend table")) as leg:
            for stretch in meter.timeline.stretches(span.since, span.until):
                self._source.check(sight, stretch.terms)
            DailyTables(self._source, sight.place.schema, meter, self._ledger).run(span.since, span.until, leg)
        with _part(report, Leg("b", "the spend table", "the ledger")) as leg:
            table.run(span.since, span.until, leg)
        with _part(report, Leg("c", "the ledger", "Lago's events")) as leg:
            self._read_back(meter, span, report, leg)
        horizon = sight.now - settings.horizon
        since = span.events_since if span.again else max(span.events_since, horizon)
        codes = [stretch.terms.code for stretch in meter.timeline.stretches(since, span.until)]
        latest = meter.timeline.latest.code
        for code in dict.fromkeys([latest, *codes]):
            name = "d" if code == latest else f"d ({code})"
            with _part(report, Leg(name, "the ledger", "what Lago counts", dated="from")) as leg:
                self._ask(meter)
                count = EventsAndCount(meter, self._ledger, self._lago, code, leg)
                count.run(since, span.until, scanned_since=horizon, again=span.again)
        if not any(leg.error for leg in report.legs):
            report.verified_until = self._verified_until(meter, span, table.exact_until)

    def _read_back(self, meter: Meter, span: Span, report: Report, leg: Leg) -> None:
        """Leg c, and what it mends."""
        settings, ledger, lago = self._settings, self._ledger, self._lago
        on_postgres = self._ask(meter) == "postgres"
        counts_once = not on_postgres and settings.deduplication
        repair = None
        if self._mends:
            spans = Spans(Mirror(meter, ledger, lago, None, datetime.now(UTC)))
            asks_again = not on_postgres and not settings.deduplication
            repair = Repair(meter, ledger, spans, decided_by=person(), is_open=not on_postgres, asks_again=asks_again)
            report.mended = repair.mended
        reading = LedgerAndLago(
            meter,
            ledger,
            lago,
            leg,
            counts_once=counts_once,
            visible=timedelta(0) if on_postgres else settings.lag,
            repair=repair,
            asks_by_id=repair is not None and not on_postgres,
        )
        try:
            reading.run(span.events_since, span.until, again=span.again)
        finally:
            if repair is not None:
                repair.review(settings)

    def _ask(self, meter: Meter) -> Store:
        """Ask Lago, once for all meters, which organization and store this is.

        Raises:
            LagoError: it is another organization than the meter's, or Lago can't be asked.
        """
        if self._told is None:
            organization = self._lago.organization()
            self._told = organization, self._lago.store(organization)
        organization, store = self._told
        changes.refuse_another_organization(meter, organization)
        return store

    def _verified_until(self, meter: Meter, span: Span, exact_until: datetime | None) -> datetime | None:
        """Up to where all is billed, and seen in Lago as it was sent."""
        [(open_since,)] = self._ledger.once("verify/open_since", {"meter": meter.name})
        ends = [moment.astimezone(UTC) for moment in (open_since, exact_until, span.until) if moment]
        return end if (end := min(ends)) > span.since else None


@contextmanager
def _part(report: Report, leg: Leg) -> Iterator[Leg]:
    """One leg of a report. Why it could not do its work, or not all of it, is kept in it, and the others go on."""
    report.legs.append(leg)
    try:
        yield leg
    except ReconcileError as error:
        leg.error = error
