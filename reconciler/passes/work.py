"""One pass over one meter: look at what is new and due, plan what differs, deliver what is planned. Design, 3 and 5."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.foreseen_usage import ForeseenUsage
from reconciler.capture.lookout import Lookout
from reconciler.capture.looks import Looks
from reconciler.delivery.deliver import Delivery
from reconciler.delivery.foresight import Foresight
from reconciler.ledger import meters
from reconciler.ledger.balance import balance
from reconciler.ledger.kinds.rows import EMPTY
from reconciler.ledger.kinds.source import pulled_back
from reconciler.ledger.meters import Meter
from reconciler.ledger.passes import Patience, passes
from reconciler.model.errors import ReconcileError
from reconciler.model.terms import Stretch
from reconciler.passes import runs
from reconciler.passes.agreement import Agreement, Span
from reconciler.report.progress import Kind, Progress
from reconciler.report.summary import Summary


@dataclass(frozen=True)
class Work:
    """What one pass does for one meter.

    Attributes:
        lookout: looks at the meter's usage, in a dry run with a dry ledger.
        delivery: delivers to Lago; in a dry run it only asks what would be delivered.
        progress: told how the pass gets on.
        summary: what people are told; filled as the work is done.
    """

    lookout: Lookout
    delivery: Delivery | Foresight
    progress: Progress
    summary: Summary

    def bill(self, agreement: Agreement) -> None:
        """Do all of it.

        Raises:
            NoTurnError: another pass has the meter's turn.
            ReconcileError: something could not be done; the summary holds what was.
        """
        lookout = self.lookout
        agreed = agreement.reach(lookout.ledger)
        self.summary.begun, self.summary.adopted = agreed.begun, agreed.adopted
        self.summary.warnings = agreed.warnings
        meter = self._pull_back(agreed.meter)
        comparison = lookout.comparison(lookout.settled(meter))
        chunks = lookout.chunks(agreement.turn)
        foreseen = ForeseenUsage(comparison, chunks) if lookout.ledger.is_dry else None
        looks = self._looks(meter, comparison, chunks, foreseen)
        with self._concluded(meter, looks):
            looks.fresh()
            self._backfill(looks, agreed.backfill)
            if not looks.seen.tally.rows and (agreed.begun or agreement.span):
                self._see_open_windows(meter, looks)
            if isinstance(self.delivery, Foresight):
                assert foreseen is not None
                self._foresee(self.delivery, meter, foreseen, adopt=agreement.adopt)
            else:
                self._deliver(self.delivery, meter, looks, adopt=agreement.adopt)

    def _see_open_windows(self, meter: Meter, looks: Looks) -> None:
        """A first look that bills nothing says that rows in windows that are still open follow, and when."""
        terms = meter.timeline.at(looks.settled)
        end = looks.settled + terms.window
        lookout = self.lookout
        self.summary.open_rows = lookout.source.count(Stretch(terms, looks.settled, max(end, lookout.sight.now)))
        self.summary.settled_at = end + lookout.settings.settle

    def _foresee(self, foresight: Foresight, meter: Meter, planned: ForeseenUsage, *, adopt: bool) -> None:
        wanted, now = self.lookout.wanted, self.lookout.sight.now
        self.summary.foreseen = foresight.foresee(wanted, meter, planned.used, planned.within, now, adopt=adopt)
        self.summary.warnings = self.summary.warnings + [each.says for each in self.summary.foreseen.outlook.untold]

    def _backfill(self, looks: Looks, span: Span | None) -> None:
        if span is not None:
            looks.backfill(span.since, min(span.until or looks.settled, looks.fresh_since))

    def _deliver(self, delivery: Delivery, meter: Meter, looks: Looks, *, adopt: bool) -> None:
        """Deliver what is new before what is due is looked at, then what that found."""
        wanted, now = self.lookout.wanted, self.lookout.sight.now

        def deliver() -> ReconcileError | None:
            done = delivery.run(wanted, meter, now=now, progress=self.progress, adopt=adopt)
            self.summary.delivered.add(done.delivered)
            self.summary.warnings = list(dict.fromkeys(self.summary.warnings + done.warnings))
            return done.error

        away = deliver()
        planned = looks.seen.tally.events_planned
        looks.due()  # planning goes on without Lago
        if looks.seen.tally.events_planned > planned and away is None:
            away = deliver()
        if away is not None:
            raise away

    def _looks(self, meter: Meter, comparison: Comparison, chunks: Chunks, foreseen: ForeseenUsage | None) -> Looks:
        def looked(kind: Kind, since: datetime, until: datetime, position: datetime) -> None:
            self.progress.looked(kind, since, until, position, looks.seen.tally.events_planned)

        now, settled = self.lookout.sight.now, self.lookout.settled(meter)
        looks = self.lookout.looks(
            meter, comparison, chunks, now=now, settled=settled, foreseen=foreseen, progress=looked
        )
        return looks

    def _pull_back(self, meter: Meter) -> Meter:
        """A start or a watermark in the future came from a clock that ran ahead: pull it back and say so.

        A purge mark there is given up: how far retention has come is found anew.
        """
        lookout = self.lookout
        if not meter.is_ahead_of(lookout.sight.now):
            return meter
        now = lookout.source.sight().now  # another pass may have begun after this one looked, and moved the watermark
        if not meter.is_ahead_of(now):
            return meter
        with lookout.ledger.transaction() as connection:
            back = replace(
                meter,
                start=meter.start if meter.start <= now else self._begun(connection, meter, now),
                watermark=min(meter.watermark, meter.timeline.floor(now - lookout.settings.settle)),
            )
            meters.pull_back(connection, meter.name, now, start=back.start, watermark=back.watermark)
            moved = [
                (name, ahead, moment)
                for name, ahead, moment in (
                    ("start", meter.start, back.start),
                    ("watermark", meter.watermark, back.watermark),
                )
                if ahead != moment
            ]
            if moved:
                lookout.ledger.ring(connection, meter.name, pulled_back(now, moved))
        return back

    def _begun(self, connection: Connection, meter: Meter, now: datetime) -> datetime:
        """Where a first run would have started: when the meter was made, or now if the ledger's clock ran ahead."""
        return min(meter.start, meter.timeline.floor(meters.made_at(connection, meter.name) or now))

    @contextmanager
    def _concluded(self, meter: Meter, looks: Looks) -> Iterator[None]:
        """Conclude after the body, whether it fails or not."""
        try:
            yield
        except ReconcileError:
            with suppress(ReconcileError):
                self._conclude(meter, looks, worked=False)
            raise
        self._conclude(meter, looks, worked=True)

    def _conclude(self, meter: Meter, looks: Looks, *, worked: bool) -> None:
        """Take the looks' figures, see how the meter stands now, and ring what has to ring."""
        summary, name = self.summary, meter.name
        settings, ledger, now = self.lookout.settings, self.lookout.ledger, self.lookout.sight.now
        summary.tally = looks.seen.tally
        summary.since, summary.until = looks.seen.since or looks.settled, looks.seen.until or looks.settled
        horizon = meter.timeline.floor(now - settings.horizon)
        newest = self.lookout.source.newest_row(now) if worked else None
        with ledger.transaction() as connection:
            if worked:
                runs.note_newest(connection, summary, now, newest)
            summary.balance = balance(connection, name, horizon)
            gone = passes(connection, name)
            summary.watermark, summary.start = meter.watermark if ledger.is_dry else gone.watermark, meter.start
            ledger.review(
                connection, name, summary.balance, gone.after_a_good_one if worked else gone, Patience.of(settings)
            )
            if summary.balance.is_new_and_empty:
                summary.warnings = [*summary.warnings, EMPTY]
            summary.alarms, summary.ringing = ledger.standing(connection, name)
            if worked:
                runs.end(connection, "done", summary)
