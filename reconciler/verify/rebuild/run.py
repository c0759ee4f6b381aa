"""Rebuild: read a meter's events from Lago, see what the ledger lacks of them; then take that in, if told to."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from threading import Event as Stop

from psycopg.rows import args_row

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.source import open_source
from reconciler.lago.client import Lago
from reconciler.lago.reading import in_slices
from reconciler.lago.sentences import NotPermittedError
from reconciler.lago.shown import is_of
from reconciler.ledger import changes, meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import MeterChangedError, NoTurnError, ReconcileError, SettingsError
from reconciler.model.when import When, whole_windows
from reconciler.model.windows import floor
from reconciler.model.words import count, minute
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.rebuild.decision import MEASURES, read
from reconciler.verify.rebuild.found import Found, Part
from reconciler.verify.rebuild.staged import Staged
from reconciler.verify.rebuild.taking import Taking

_AHEAD = timedelta(days=400)
"""Events may lie in the future: sent by a clock that ran ahead, or moved there."""


@dataclass
class _Read:
    """What was read of one meter, kept for a second use."""

    wanted: MeterSettings
    staged: Staged
    found: Found


class Rebuild:
    """Rebuilds with one set of settings."""

    def __init__(self, settings: Settings, codes: Sequence[str] = ()) -> None:
        """Connect to nothing yet.

        Args:
            settings: what the operator said.
            codes: event codes that the meters had before.
        """
        self._settings = settings
        self._codes = codes
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        self._lago = Lago.of(settings, stays="The ledger stays as it is")
        self._read: list[_Read] = []

    def close(self) -> None:
        """Close the connections, and forget what was read."""
        for each in self._read:
            each.staged.close()
        self._lago.close()
        self._source.close()
        self._ledger.close()

    def look(self, since: When) -> list[Found]:
        """Read Lago's events, and find out what there is to do; nothing is written.

        Args:
            since: from this window on; it is where billing begins, or began.

        Returns:
            What was found of each meter. Why nothing can be done for one is in it.

        Raises:
            UsageError: `since` lies in the future.
            ReconcileError: a database can't be reached or used.
        """
        settings = self._settings
        if settings.one_database and settings.source.connections == 1:
            raise SettingsError(
                f"{settings.source.variable} has connection_limit=1, and a rebuild needs two connections: "
                "write connection_limit=2."
            )
        self._sight = self._source.sight()
        with self._ledger.dry():
            self._ledger.upgrade()
            with self._ledger.transaction() as connection:
                known = {wanted.name: meters.load(connection, wanted.name) for wanted in settings.meters}
        for wanted in settings.meters:
            in_windows = partial(floor, length=wanted.window)
            begin, _ = whole_windows(since, None, self._sight.now, in_windows)
            self._read.append(_Read(wanted, Staged(), Found(wanted.name, begin)))
            self._read_lago(self._read[-1], known[wanted.name])
        with self._ledger.dry():
            self._ledger.upgrade()
            for each in self._read:
                if each.found.error is None:
                    self._foresee(each)
        return [each.found for each in self._read]

    def make(self) -> Iterator[Found]:
        """Take into the ledger what it lacks, a meter at a time.

        Returns:
            What became of each meter for which there was something to do.
        """
        self._ledger.upgrade()
        for each in self._read:
            if not each.found.is_lacking:
                continue
            done = Found(each.found.meter, each.found.since)
            try:
                self._taking(each.wanted).run(each.staged, done)
            except ReconcileError as error:
                done.error = _plain(error)
            yield done

    def _read_lago(self, each: _Read, known: Meter | None) -> None:
        """Read the events that may be the meter's: of the codes of its terms, and of those that the operator names."""
        try:
            self._source.check(self._sight, each.wanted.terms)
            if known is not None:
                changes.refuse_moved(known, source=asdict(self._sight.place), lago=self._settings.lago_api_base)
                changes.refuse_another_organization(known, self._lago.organization())
            earlier = known.timeline.codes if known else []
            for code in dict.fromkeys([each.wanted.event_code, *earlier, *self._codes]):
                self._see_metric(code, each.found)
                self._read_code(code, each)
        except ReconcileError as error:
            each.found.error = error

    def _see_metric(self, code: str, found: Found) -> None:
        """See that Lago shows what was sent: an expression of a metric overwrites a property.

        Raises:
            MeterChangedError: it overwrites one of ours.
        """
        try:
            metric = self._lago.metric(code) or {}
        except NotPermittedError:
            found.warnings.append(
                "The API key may not read Lago's billable metrics: if one computes a property by an expression, its "
                "events do not show what was sent."
            )
            return
        if metric.get("expression") and metric.get("field_name") in MEASURES:
            raise MeterChangedError(
                f"Lago's metric {code!r} computes {metric['field_name']} by an expression, so its events do not show "
                "what was sent, and no ledger can be made from them. `reconcile --since` takes what Lago holds for "
                "accepted where it is what the spend table says."
            )

    def _read_code(self, code: str, each: _Read) -> None:
        found, wanted = each.found, each.wanted
        begin = found.since
        for _, events in in_slices(self._lago, code, found.since, self._sight.now + _AHEAD):
            for event in events:
                if not is_of(event, wanted.name):
                    continue
                taken = read(event, wanted.name, template=wanted.subscription)
                if taken is None:
                    found.strange += 1
                    found.example = found.example or str(event.get("transaction_id"))[:100]
                elif taken.window_start + timedelta(seconds=taken.window_seconds) <= found.since:
                    found.earlier += 1
                else:
                    each.staged.add(taken)
                    begin = min(begin, taken.window_start)  # windows may have been longer then
        found.since = begin

    def _foresee(self, each: _Read) -> None:
        """Do it in the dry ledger, and compare with the spend table."""
        found = each.found
        try:
            meter = self._taking(each.wanted).run(each.staged, found)
            if found.is_lacking:
                self._compare(each.wanted, meter, found)
            if misnamed := found.left.pop("misnamed", None):
                raise MeterChangedError(_misnamed(each.wanted, misnamed))
        except ReconcileError as error:
            found.error = _plain(error)

    def _compare(self, wanted: MeterSettings, meter: Meter, found: Found) -> None:
        settings, settled = self._settings, meter.timeline.floor(self._sight.now - self._settings.settle)
        comparison = Comparison(
            wanted, self._source, self._sight, self._ledger, one_database=settings.one_database, settled=settled
        )
        limits = settings.limits
        chunks = Chunks(meter.name, self._ledger, turn=limits.turn, seconds=limits.chunk, stopping=Stop())
        begin = max(found.since, meter.timeline.floor(meter.watermark - settings.lookback))
        for stretch in meter.timeline.stretches(begin, settled):
            for _, rows in chunks.compared(comparison, "rebuild/left", stretch, args_row(_part)):
                found.count(dict(rows), into=found.left)

    def _taking(self, wanted: MeterSettings) -> Taking:
        return Taking(self._settings, wanted, self._source, self._sight, self._ledger)


def _part(fate: str, number: int, cost: Decimal, first: datetime) -> tuple[str, Part]:
    """A row of left.sql."""
    return fate, Part(number, cost, first.astimezone(UTC))


def _plain(error: ReconcileError) -> ReconcileError:
    """The error for people; a turn that was not had is a reason, no sentence."""
    return ReconcileError(f"Nothing was done: {error}.") if isinstance(error, NoTurnError) else error


def _misnamed(wanted: MeterSettings, part: Part) -> str:
    return (
        f"From the window {minute(part.first)} on, usage is billed to other models than RECONCILE_MODEL_COLUMN="
        f"{wanted.model_column} names ({count(part.number, 'window')} of customers): a pass would bill it once more. "
        "Nothing was done. Set RECONCILE_MODEL_COLUMN as it was; or, if it has changed since, choose a --since after "
        "the change."
    )
