"""Passes: one run over all meters, each meter's failure its own."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

from reconciler.capture.lookout import Lookout
from reconciler.capture.source import Sight, open_source
from reconciler.delivery.deliver import Delivery
from reconciler.delivery.foresight import Foresight
from reconciler.delivery.not_cut_over import NotCutOverError, see_gap
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LedgerError, NoTurnError, ReconcileError, UsageError
from reconciler.model.when import When
from reconciler.model.windows import floor
from reconciler.passes import runs
from reconciler.passes.agreement import Agreement, Span
from reconciler.passes.telling import tell_alarms
from reconciler.passes.work import Work
from reconciler.report.progress import Progress, Silent
from reconciler.report.summary import Summary
from reconciler.settings.load import MeterSettings, Settings


@dataclass(frozen=True)
class Request:
    """What a pass is asked to do.

    Attributes:
        since: a backfill's begin; None is a plain pass.
        until: its end, exclusive; None is the newest settled window.
        dry_run: compare and count, write nothing at all, send nothing.
        adopt: take changed settings as declared.
    """

    since: When | None = None
    until: When | None = None
    dry_run: bool = False
    adopt: bool = False


class Pass:
    """Runs passes with one set of settings."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let a running pass end after its present chunk and requests; the next one goes on."""
        self._stopping.set()

    def run(self, request: Request, progress: Progress | None = None, *, run_id: str | None = None) -> list[Summary]:
        """One pass over every meter of the settings.

        A dry run has a dry ledger, and foresees instead of delivering; all else is the same.

        Returns:
            A summary each. One meter's failure is in its summary and keeps no other meter from its pass.

        Raises:
            ReconcileError: nothing could be done for any meter: source or ledger can't be reached or used.
            UsageError: the span asked for makes no sense.
        """
        run_id = run_id or secrets.token_hex(8)
        settings, ledger = self._settings, self._ledger
        if request.dry_run:
            settings.require_two_connections()
        delivery = Foresight(settings, ledger) if request.dry_run else Delivery(settings, ledger, self._stopping)
        try:
            with self._telling(request), self._ledger.dry() if request.dry_run else nullcontext():
                self._ledger.upgrade()
                sight = self._sight(run_id)
                shown = progress or Silent()
                return [self._one(meter, request, sight, delivery, shown, run_id) for meter in self._settings.meters]
        finally:
            delivery.close()
            self._source.close()
            self._ledger.close()

    @contextmanager
    def _telling(self, request: Request) -> Iterator[None]:
        """After the body, tell the operator's own command or webhook of alarms: no billing waits for it."""
        try:
            yield
        except LedgerError:
            raise
        except ReconcileError:
            self._tell(request)
            raise
        self._tell(request)

    def _tell(self, request: Request) -> None:
        if not request.dry_run and not self._stopping.is_set():
            tell_alarms(self._settings, self._ledger, [meter.name for meter in self._settings.meters])

    def _sight(self, run_id: str) -> Sight:
        """Look at the source; if that fails, the ledger keeps that the pass of each meter has failed."""
        try:
            return self._source.sight()
        except ReconcileError:
            for meter in self._settings.meters:
                with suppress(ReconcileError), self._recorded(Summary(meter.name, run_id)):
                    raise
            raise

    def _recorded(self, summary: Summary) -> AbstractContextManager[None]:
        return runs.recorded(self._ledger, summary, Patience.of(self._settings))

    def _one(
        self,
        wanted: MeterSettings,
        request: Request,
        sight: Sight,
        delivery: Delivery | Foresight,
        progress: Progress,
        run_id: str,
    ) -> Summary:
        summary = Summary(wanted.name, run_id, dry_run=request.dry_run)
        try:
            lookout = Lookout(self._settings, wanted, self._source, sight, self._ledger, self._stopping)
            agreement = self._agreement(lookout, request)
            with self._recorded(summary):
                self._source.check(sight, wanted.terms)
                refusal = self._see_not_cut_over(wanted, agreement, delivery)
                if refusal is not None and not request.dry_run:
                    raise refusal
                Work(lookout, delivery, progress, summary).bill(agreement)
                if refusal is not None:
                    raise refusal
        except UsageError:
            raise
        except NoTurnError as error:
            summary.skipped = True
            if request.since is not None:
                summary.error = ReconcileError(f"The backfill did not get its turn: {error}. Run it again; it goes on.")
        except ReconcileError as error:
            summary.error = error
        return summary

    def _see_not_cut_over(
        self, wanted: MeterSettings, agreement: Agreement, delivery: Delivery | Foresight
    ) -> NotCutOverError | None:
        """Why the backfill asked for is refused, if there is one: it does not begin where LiteLLM's callback ended."""
        span = agreement.span
        if span is None:
            return None
        oldest = agreement.oldest(span.since)
        until = span.until or floor(agreement.sight.now - self._settings.settle, wanted.window)
        refusal = see_gap(self._ledger, wanted, span.since)
        if refusal is None and oldest is not None and oldest < until:
            refusal = delivery.see_not_cut_over(wanted, floor(oldest, wanted.window), until)
        return refusal

    def _agreement(self, lookout: Lookout, request: Request) -> Agreement:
        wanted, sight, limits = lookout.wanted, lookout.sight, self._settings.limits
        return Agreement(
            wanted=wanted,
            lago=self._settings.lago_api_base,
            sight=sight,
            oldest=lookout.oldest,
            settle=self._settings.settle,
            span=Span.asked(request.since, request.until, sight.now, wanted.window),
            adopt=request.adopt,
            turn=limits.turn if request.since is None else limits.backfill_turn,
        )
