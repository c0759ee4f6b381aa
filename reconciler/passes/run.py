"""The pass: look at what is new and due, plan what differs, deliver what is planned. Design, sections 3 and 5."""

import secrets
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import update

from reconciler.capture.looks import Looks, NoTurnError
from reconciler.capture.planner import Planner
from reconciler.capture.source import Sight, Source
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import Postgres
from reconciler.delivery.dispatch import Dispatch
from reconciler.ledger import alarms, meters, tables
from reconciler.ledger.balance import standing
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model import windows
from reconciler.model.errors import LagoError, ReconcileError, SourceError, UsageError
from reconciler.model.terms import Terms
from reconciler.passes import runs
from reconciler.report.progress import Progress, Silent
from reconciler.report.summary import Summary, iso
from reconciler.settings.load import MeterSettings, Settings

TURN_SECONDS = 10.0
"""How long a plain pass waits for another to finish its chunk."""

BACKFILL_TURN_SECONDS = 300.0
"""How long a `--since` waits for each of its turns."""


@dataclass(frozen=True)
class Request:
    """What a pass is asked to do.

    Attributes:
        since: a backfill's begin; None is a plain pass.
        until: its end, exclusive; None is the newest settled window.
        dry_run: compare and count, write nothing at all, send nothing.
        adopt: take changed settings as declared.
    """

    since: Callable[[datetime], datetime] | None = None
    until: Callable[[datetime], datetime] | None = None
    dry_run: bool = False
    adopt: bool = False


class Pass:
    """Runs passes with one set of settings."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._source = Source(
            Postgres(
                settings.source,
                error=SourceError,
                variable="DATABASE_URL",
                statement_timeout=settings.statement_timeout,
            )
        )
        self._ledger = open_ledger(settings)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let a running pass end after its present chunk and requests; the next one goes on."""
        self._stopping.set()

    def run(self, request: Request, progress: Progress | None = None, *, run_id: str | None = None) -> list[Summary]:
        """One pass over every meter of the settings.

        Returns:
            A summary each. One meter's failure is in its summary and keeps no other meter from its pass.

        Raises:
            ReconcileError: nothing could be done for any meter: source or ledger can't be reached or used.
            UsageError: the span asked for makes no sense.
        """
        run_id = run_id or secrets.token_hex(8)
        dispatch = None if request.dry_run else Dispatch(self._settings, self._ledger, self._stopping)
        try:
            with self._ledger.dry() if request.dry_run else nullcontext():
                self._ledger.upgrade()
                sight = self._source.sight()
                shown = progress or Silent()
                return [self._one(meter, request, sight, dispatch, shown, run_id) for meter in self._settings.meters]
        finally:
            if dispatch is not None:
                dispatch.close()
            self._source.close()
            self._ledger.close()

    def _one(
        self,
        wanted: MeterSettings,
        request: Request,
        sight: Sight,
        dispatch: Dispatch | None,
        progress: Progress,
        run_id: str,
    ) -> Summary:
        summary = Summary(wanted.name, run_id, dry_run=request.dry_run)
        try:
            self._work(wanted, request, sight, dispatch, progress, summary)
        except UsageError:
            raise
        except NoTurnError as error:
            summary.skipped = True
            if request.since is not None:
                summary.error = ReconcileError(f"The backfill did not get its turn: {error}. Run it again; it goes on.")
        except ReconcileError as error:
            summary.error = error
        return summary

    def _work(
        self,
        wanted: MeterSettings,
        request: Request,
        sight: Sight,
        dispatch: Dispatch | None,
        progress: Progress,
        summary: Summary,
    ) -> None:
        terms = wanted.terms
        self._source.check(sight, terms)
        since = windows.floor(request.since(sight.now), terms.window) if request.since else None
        until = windows.floor(request.until(sight.now), terms.window) if request.until else None
        _check_span(since, until, sight.now)

        meter, backfill = self._agree(wanted, terms, request, sight, since, until, summary)
        with runs.recorded(self._ledger, summary) if not request.dry_run else nullcontext():
            meter = self._pull_back(meter, sight)
            looks = self._looks(wanted, meter, sight, progress, patient=since is not None)

            def deliver() -> LagoError | None:
                assert dispatch is not None
                done = dispatch.run(wanted, meter, now=sight.now, progress=progress)
                summary.delivered.add(done.delivered)
                return done.error

            try:
                looks.fresh()
                if backfill is not None:
                    begin, end = backfill
                    looks.backfill(begin, min(end or looks.newest, looks.fresh_since))
                if dispatch is not None:
                    away = deliver()
                    planned = looks.seen.tally.events_planned
                    looks.due()  # planning goes on without Lago
                    if looks.seen.tally.events_planned > planned and away is None:
                        away = deliver()
                    if away is not None:
                        raise away
            except ReconcileError:
                with suppress(ReconcileError):
                    self._conclude(meter, sight, looks, summary)
                raise
            self._conclude(meter, sight, looks, summary)

    def _agree(
        self,
        wanted: MeterSettings,
        terms: Terms,
        request: Request,
        sight: Sight,
        since: datetime | None,
        until: datetime | None,
        summary: Summary,
    ) -> tuple[Meter, tuple[datetime, datetime | None] | None]:
        """Make the meter or hold it to what it was, and say what is left to backfill."""
        place = asdict(sight.place)
        with self._ledger.transaction() as connection:
            if not request.dry_run:
                wait = BACKFILL_TURN_SECONDS if since else TURN_SECONDS
                if not meters.lock(connection, wanted.name, wait_seconds=wait):
                    raise NoTurnError(f"another pass of meter {wanted.name!r} is running")
            Subscriptions(wanted).check(connection)
            known = meters.load(connection, wanted.name)
            backfill = None if since is None else (since, until)
            if known is None:
                chosen = since is not None and until is None
                meters.create(
                    connection,
                    wanted.name,
                    terms,
                    start=since if since is not None and until is None else sight.now,
                    chosen=chosen,
                    source=place,
                    lago=self._settings.lago_api_base,
                    adopt=request.adopt,
                )
                summary.begun = not chosen
                backfill = None if chosen else backfill
            else:
                summary.adopted = meters.hold_to(
                    connection,
                    known,
                    terms,
                    source=place,
                    lago=self._settings.lago_api_base,
                    now=sight.now,
                    adopt=request.adopt,
                )
                start = None if since is None or until is not None else known.timeline.floor(since)
                if start is not None and not known.start_chosen and start <= known.start:
                    table = tables.meter
                    # A first run puts the watermark at its own window, which no window before it may be behind.
                    newest = known.timeline.floor(sight.now - self._settings.settle)
                    connection.execute(
                        update(table)
                        .where(table.c.name == wanted.name)
                        .values(start=start, start_chosen=True, watermark=min(known.watermark, newest))
                    )
            meter = meters.load(connection, wanted.name)
            savepoint = connection.get_nested_transaction()
            if known is not None and request.dry_run and savepoint is not None:
                savepoint.rollback()  # with its lock on the meter's row, which a pass may wait for
        assert meter is not None
        if backfill is not None:
            begin, end = backfill
            backfill = meter.timeline.floor(begin), meter.timeline.floor(end) if end else None
        return meter, backfill

    def _looks(self, wanted: MeterSettings, meter: Meter, sight: Sight, progress: Progress, *, patient: bool) -> Looks:
        settings = self._settings
        planner = Planner(wanted, self._source, sight, self._ledger, one_database=settings.one_database)
        return Looks(
            meter,
            planner,
            self._ledger,
            now=sight.now,
            settle=settings.settle,
            lookback=settings.lookback,
            horizon=settings.horizon,
            wait_seconds=BACKFILL_TURN_SECONDS if patient else TURN_SECONDS,
            stopping=self._stopping,
            progress=progress.looked,
        )

    def _pull_back(self, meter: Meter, sight: Sight) -> Meter:
        """A watermark in the future came from a clock that ran ahead: pull it back and say so."""
        if meter.watermark <= sight.now:
            return meter
        now = self._source.sight().now  # another pass may have begun after this one looked, and moved the watermark
        if meter.watermark <= now:
            return meter
        newest = meter.timeline.floor(now - self._settings.settle)
        pulled = replace(meter, watermark=newest)
        if self._ledger.is_dry:
            return pulled
        table = tables.meter
        with self._ledger.transaction() as connection:
            connection.execute(update(table).where(table.c.name == meter.name).values(watermark=newest))
            alarm = alarms.Alarm(
                "clock",
                f"The watermark {meter.watermark:%Y-%m-%d %H:%M} UTC was ahead of the source's clock "
                f"({now:%Y-%m-%d %H:%M} UTC) and was pulled back: was a clock wrong?",
                Decimal(1),
            )
            alarms.ring(connection, meter.name, alarm)
        return pulled

    def _conclude(self, meter: Meter, sight: Sight, looks: Looks, summary: Summary) -> None:
        """Take the looks' figures, see how the meter stands now, and ring what has to ring."""
        summary.tally = looks.seen.tally
        summary.since, summary.until = looks.seen.since or looks.newest, looks.seen.until or looks.newest
        horizon = meter.timeline.floor(sight.now - self._settings.horizon)
        with self._ledger.transaction() as connection:
            now = standing(connection, meter.name, horizon)
            if not summary.dry_run:
                alarms.review(connection, meter.name, now)
            summary.standing = now
            summary.alarms = [alarms.as_json(row) for row in alarms.list_standing(connection, meter.name)]
            after = meter if summary.dry_run else meters.load(connection, meter.name)
            assert after is not None
            summary.watermark, summary.start = after.watermark, after.start


def _check_span(since: datetime | None, until: datetime | None, now: datetime) -> None:
    if until is not None and since is None:
        raise UsageError("--until needs --since, such as --since 2026-11-01 --until 2026-11-08.")
    if since is None:
        return
    if since > now:
        raise UsageError(f"--since {iso(since)} is in the future; the source's clock says {iso(now)}.")
    if until is not None and until <= since:
        raise UsageError(f"--until {iso(until)} leaves no window after --since {iso(since)}.")
