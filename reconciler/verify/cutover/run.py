"""A cut-over of one meter from LiteLLM's callback: what is asked for, and whether it may be."""

from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime

from reconciler.capture.source import Sight, open_source
from reconciler.lago.client import Lago
from reconciler.ledger import changes, meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LedgerError, NoTurnError, ReconcileError, UsageError
from reconciler.model.when import When
from reconciler.model.windows import utc_text
from reconciler.report.status import require_ledger
from reconciler.report.summary import iso
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.cutover.found import Found
from reconciler.verify.cutover.work import REACH, Work


class Cutover:
    """Cuts one meter over, with one set of settings."""

    def __init__(self, settings: Settings, *, code: str | None = None) -> None:
        """Connect to nothing yet.

        Args:
            settings: of one meter.
            code: the event code that the callback sends under; None is the meter's own.

        Raises:
            UsageError: the settings have more than one meter.
        """
        if len(settings.meters) != 1:
            raise UsageError("A cut-over is of one meter: name it by --meter.")
        self._settings, self._code = settings, code
        self._wanted: MeterSettings = settings.meters[0]
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        self._lago = Lago.of(settings)

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()
        self._source.close()
        self._ledger.close()

    def run(self, at: When, since: When | None = None, *, record: bool = False, dry_run: bool = False) -> Found:
        """Find what the callback has billed of `[since, at)`, and put that on record if told to.

        Args:
            at: the instant from which on the callback sends nothing for what begins; on a window's edge.
            since: from that window on; None is long enough before `at` for what ran then.
            record: take over what it has billed; without, only say what would be.
            dry_run: write nothing at all, not even what was read from Lago.

        Raises:
            UsageError: `at` is on no edge or in no settled window, or nothing lies between `since` and it.
            ReconcileError: source, ledger or Lago can't be used, the meter has billed these windows by itself, or what
                the callback has sent does not fit the rows. Nothing was recorded.
        """
        if dry_run:
            self._settings.require_two_connections()
        with self._ledger.dry() if dry_run else nullcontext():
            with self._ledger.transaction() as connection:
                require_ledger(connection)
                meter = meters.load(connection, self._wanted.name)
            if meter is None:
                raise LedgerError(
                    f"The ledger has no meter {self._wanted.name!r} yet: run `reconcile` first. Its first pass bills "
                    "from the current window on, so run it when that begins at --at or later."
                )
            sight = self._source.sight()
            changes.refuse_moved(meter, source=asdict(sight.place), lago=self._settings.lago_api_base)
            try:
                begin, edge = self._span(meter, sight, at, since)
                ways = self._source, sight, self._ledger, self._lago
                work = Work(self._settings, *ways, meter, since=begin, at=edge, code=self._code)
                return work.run(record=record and not dry_run)
            except NoTurnError as error:
                raise ReconcileError(f"Nothing was recorded: {error}. Try again.") from error

    def _span(self, meter: Meter, sight: Sight, at: When, since: When | None) -> tuple[datetime, datetime]:
        floor = meter.timeline.floor
        edge = at(sight.now).astimezone(UTC)
        if floor(edge) != edge:
            before, after = utc_text(floor(edge)), utc_text(meter.timeline.window_end(floor(edge)))
            raise UsageError(f"--at {iso(edge)} is on no window's edge: write {before} or {after}.")
        if edge > (settled := floor(sight.now - self._settings.settle)):
            raise UsageError(
                f"--at {utc_text(edge)} is not settled yet: windows are so up to {utc_text(settled)}. Run this later."
            )
        begin = floor(since(sight.now) if since else edge - REACH)
        if begin >= edge:
            raise UsageError(f"--since {utc_text(begin)} leaves no window before --at {utc_text(edge)}.")
        return begin, edge
