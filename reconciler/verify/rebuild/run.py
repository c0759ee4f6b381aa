"""Rebuild: read a meter's events from Lago, see what the ledger lacks of them; then take that in, if told to."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from psycopg.rows import args_row
from sqlalchemy import exists, select

from reconciler.capture.lookout import Lookout
from reconciler.capture.source import open_source
from reconciler.lago.client import Lago
from reconciler.ledger import changes, meters, tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import MeterChangedError, NoTurnError, ReconcileError, SettingsError
from reconciler.model.when import When, whole_windows
from reconciler.model.windows import floor
from reconciler.model.words import count, minute
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.rebuild.elsewhere import ToBill, refuse_another_code, window_before
from reconciler.verify.rebuild.found import Found, Part
from reconciler.verify.rebuild.reading import Reading
from reconciler.verify.rebuild.taking import Taking


class Left(NamedTuple):
    """A row of left.sql: buckets of one fate."""

    fate: str
    buckets: int
    cost: Decimal
    first: datetime
    subscription: str | None


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
        self._readings: list[Reading] = []

    def close(self) -> None:
        """Close the connections, and forget what was read."""
        for each in self._readings:
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
            self._readings.append(Reading(wanted, Found(wanted.name, begin)))
            self._read_lago(self._readings[-1], known[wanted.name])
        with self._ledger.dry():
            self._ledger.upgrade()
            for each in self._readings:
                if each.found.error is None:
                    self._foresee(each)
        for each in self._readings:
            if each.found.is_lacking:
                self._look_elsewhere(each)
        return [each.found for each in self._readings]

    def make(self) -> Iterator[Found]:
        """Take into the ledger what it lacks, a meter at a time.

        Returns:
            What became of each meter for which there was something to do.
        """
        self._ledger.upgrade()
        for each in self._readings:
            if not each.found.is_lacking:
                continue
            done = Found(each.found.meter, each.found.since)
            try:
                self._taking(each.wanted).run(each.staged, done)
            except ReconcileError as error:
                done.error = _plain(error)
            yield done

    def _read_lago(self, each: Reading, known: Meter | None) -> None:
        """Read the events that may be the meter's: of the codes of its terms, and of those that the operator names."""
        try:
            self._source.check(self._sight, each.wanted.terms)
            if known is not None:
                changes.refuse_moved(known, source=asdict(self._sight.place), lago=self._settings.lago_api_base)
                changes.refuse_another_organization(known, self._lago.organization())
            earlier = known.timeline.codes if known else []
            for code in dict.fromkeys([each.wanted.event_code, *earlier, *self._codes]):
                each.read(self._lago, code, self._sight.now)
        except ReconcileError as error:
            each.found.error = error

    def _foresee(self, each: Reading) -> None:
        """Do it in the dry ledger, and compare with the spend table."""
        found = each.found
        try:
            meter = self._taking(each.wanted).run(each.staged, found)
            if found.is_lacking:
                self._compare(each, meter)
            if "plan" not in found.left or self._has_taken_over(meter):
                found.callback = None
            if misnamed := found.left.pop("misnamed", None):
                raise MeterChangedError(_misnamed(each.wanted, misnamed))
        except ReconcileError as error:
            found.error = _plain(error)

    def _compare(self, each: Reading, meter: Meter) -> None:
        wanted, found = each.wanted, each.found
        settings, lookout = self._settings, Lookout(self._settings, wanted, self._source, self._sight, self._ledger)
        settled = lookout.settled(meter)
        comparison, chunks = lookout.comparison(settled), lookout.chunks(settings.limits.turn)
        begin = max(found.since, meter.timeline.floor(meter.watermark - settings.lookback))
        for stretch in meter.timeline.stretches(begin, settled):
            for _, rows in chunks.compared(comparison, "rebuild/left", stretch, args_row(Left)):
                parts = {row.fate: Part(row.buckets, row.cost, row.first.astimezone(UTC)) for row in rows}
                found.count(parts, into=found.left)
                each.to_bill += [ToBill(parts["plan"].first, row.subscription) for row in rows if row.fate == "plan"]

    def _has_taken_over(self, meter: Meter) -> bool:
        """Whether a cut-over has counted as billed what LiteLLM's callback has sent."""
        with self._ledger.transaction() as connection:
            any_of_it = exists().where(tables.takeover.c.meter == meter.name)
            return bool(connection.scalar(select(any_of_it)))

    def _look_elsewhere(self, each: Reading) -> None:
        """See what Lago holds besides of what a pass would bill, or of windows at which none would look."""
        wanted, found = each.wanted, each.found
        try:
            refuse_another_code(self._lago, wanted.name, each.codes, each.to_bill)
            if found.is_new or found.is_earlier:
                horizon = self._settings.horizon
                found.before = window_before(self._lago, wanted.name, wanted.event_code, found.since, horizon)
        except ReconcileError as error:
            found.error = error

    def _taking(self, wanted: MeterSettings) -> Taking:
        return Taking(self._settings, wanted, self._source, self._sight, self._ledger)


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
