"""What a pass and the ledger agree on before anything is looked at: the meter, its start, what to backfill."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from reconciler.capture.source import Sight
from reconciler.capture.subscriptions import Subscriptions
from reconciler.ledger import changes, meters, twins
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model import windows
from reconciler.model.errors import LedgerError, MeterChangedError, UsageError
from reconciler.model.when import When, whole_windows
from reconciler.report.summary import iso
from reconciler.settings.meter import MeterSettings


@dataclass(frozen=True)
class Span:
    """The windows that `--since` and `--until` ask for.

    Attributes:
        since: its begin, the start of a window.
        until: its end, exclusive; None is the newest settled window.
    """

    since: datetime
    until: datetime | None

    @classmethod
    def asked(cls, since: When | None, until: When | None, now: datetime, window: timedelta) -> "Span | None":
        """Round down to windows what was asked for; None for a plain pass.

        Raises:
            UsageError: it makes no sense.
        """
        if since is None:
            if until is not None:
                raise UsageError("--until needs --since, such as --since 2026-11-01 --until 2026-11-08.")
            return None
        return cls(*whole_windows(since, until, now, lambda moment: windows.floor(moment, window)))


@dataclass(frozen=True)
class Agreed:
    """What holds for this pass.

    Attributes:
        meter: as the ledger has it now.
        backfill: what is left to backfill besides what is new.
        begun: whether the meter is new and begins with the current window.
        adopted: the changes that were taken, one sentence each.
        warnings: what a person should know of the windows asked for.
    """

    meter: Meter
    backfill: Span | None
    begun: bool = False
    adopted: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Agreement:
    """How a pass comes to it.

    Attributes:
        wanted: the meter, as the settings describe it.
        lago: where the settings send.
        sight: the source.
        oldest: asks the source for the start of its oldest row from a moment on, None if it has none.
        settle: how long after its end a window is settled.
        span: what was asked for.
        adopt: whether the operator declared changed settings.
        turn: how many seconds to wait for the meter's turn.
    """

    wanted: MeterSettings
    lago: str
    sight: Sight
    oldest: Callable[[datetime], datetime | None]
    settle: timedelta
    span: Span | None
    adopt: bool
    turn: float

    def reach(self, ledger: Ledger) -> Agreed:
        """Make the meter, or hold it to what it was.

        Raises:
            MeterChangedError: something differs and was not declared, or another meter bills the same.
            NoTurnError: another pass has the meter's turn.
            SettingsError: the mapping can't be read.
        """
        agreed = self._hold(ledger) or self._make(ledger) or self._hold(ledger)
        if agreed is None:
            raise LedgerError(f"The meter {self.wanted.name!r} was deleted from the ledger meanwhile: run again.")
        return agreed

    def _hold(self, ledger: Ledger) -> Agreed | None:
        """Hold the meter to what it was; None if the ledger has none of that name."""
        with ledger.transaction() as connection:
            if not meters.take_turn(connection, self.wanted.name, seconds=self.turn):
                return None
            Subscriptions(self.wanted).check(connection)
            meter = self._load(connection)
            if adopted := self._change(connection, meter, alone=not ledger.is_dry):
                meter = self._load(connection)
            if self._begin_earlier(connection, meter):
                meter = self._load(connection)
            warnings = self._by_earlier_terms(meter)
        if self.span is None:
            return Agreed(meter, None, adopted=adopted)
        floor = meter.timeline.floor
        until = floor(self.span.until) if self.span.until else None
        return Agreed(meter, Span(floor(self.span.since), until), adopted=adopted, warnings=warnings)

    def _make(self, ledger: Ledger) -> Agreed | None:
        """Make the meter; None if another pass has made it meanwhile."""
        chosen = self._start
        begin = self.sight.now if chosen is None else chosen
        watermark = begin if chosen is None else max(chosen, self._first_settled_row(chosen))
        with ledger.transaction(making=True) as connection:
            Subscriptions(self.wanted).check(connection)
            with self._no_new_twin(connection, twins.NEW, alone=not ledger.is_dry, declared=self.adopt):
                made = meters.create(
                    connection,
                    self.wanted.name,
                    self.wanted.terms,
                    start=begin,
                    chosen=chosen is not None,
                    watermark=watermark,
                    source=self._place,
                    lago=self.lago,
                )
            if not made:
                return None
            meter = self._load(connection)
        return Agreed(meter, self.span if chosen is None else None, begun=chosen is None)

    def _change(self, connection: Connection, meter: Meter, *, alone: bool) -> list[str]:
        """Take what the settings change, and a scope that reaches further back; return what was adopted."""
        found = changes.changes(meter, self.wanted.terms, source=self._place, lago=self.lago)
        if not found and self.span is None:
            return []
        places: changes.Places = {"source": self._place, "lago": self.lago}
        if not found:
            with self._no_new_twin(connection, twins.EARLIER, alone=alone, declared=self.adopt):
                return []
        if not changes.has_events(connection, meter.name):
            with self._no_new_twin(connection, twins.EMPTY, alone=alone, declared=self.adopt):
                first_row = self._first_settled_row(meter.start)
                changes.start_over(connection, meter.name, self.wanted.terms, first_row=first_row, **places)
            return [f"Nothing was billed yet, so from its start on: {'; '.join(found.terms + found.moved)}."]
        if not self.adopt:
            raise MeterChangedError(changes.refusal(meter.name, found))
        with self._no_new_twin(connection, twins.CHANGED, alone=alone, declared=False):
            return changes.adopt(connection, meter, self.wanted.terms, found, now=self.sight.now, **places)

    @contextmanager
    def _no_new_twin(self, connection: Connection, why: str, *, alone: bool, declared: bool) -> Iterator[None]:
        """Let the body change what the meter bills, unless another bills the same and the operator did not declare it.

        A dry run changes nothing, so it need not be alone at it and keeps nobody waiting.
        """
        if alone:
            twins.one_at_a_time(connection)
        since = self.span.since if self.span else None
        with nullcontext() if declared else twins.no_new_one(connection, self.wanted.name, why, since=since):
            yield

    def _by_earlier_terms(self, meter: Meter) -> list[str]:
        """What a person should know of a `--since` for windows that have other terms than the settings.

        Raises:
            MeterChangedError: the same command declares the settings, which may seem to concern these windows.
        """
        if self.span is None:
            return []
        span = meter.timeline.stretches(self.span.since, self.span.until or self.sight.now)
        other = [stretch.terms for stretch in span if stretch.terms != self.wanted.terms]
        if not other:
            return []
        begin = f"{meter.timeline.latest_since:%Y-%m-%d %H:%M} UTC"
        what = "; ".join(other[0].differences(self.wanted.terms))
        if self.adopt:
            raise MeterChangedError(
                f"What --adopt declares holds from {begin} on ({what}), and --since asks for windows before, which are "
                "billed as they were. Nothing was done. Choose: run `reconcile --adopt` alone; and if earlier windows "
                f"are to be billed as before, run `reconcile --since {iso(self.span.since)}` after it."
            )
        return [f"Windows before {begin} are billed by the settings that they had: {what}."]

    @property
    def _place(self) -> dict[str, str]:
        """Where the settings read."""
        return asdict(self.sight.place)

    @property
    def _start(self) -> datetime | None:
        """The start that a `--since` without `--until` chooses."""
        return self.span.since if self.span is not None and self.span.until is None else None

    def _first_settled_row(self, since: datetime) -> datetime:
        """Where a first look from a moment on may begin: before the oldest row there is nothing to look at."""
        newest = self.sight.now - self.settle
        return min(self.oldest(since) or newest, newest)

    def _begin_earlier(self, connection: Connection, meter: Meter) -> bool:
        """Let the first `--since` without `--until` set the start; say whether it does."""
        if self._start is None or meter.start_chosen:
            return False
        start = meter.timeline.floor(self._start)
        if start > meter.start:
            return False
        # A first run puts the watermark at its own window, which no window before it may be behind.
        newest = meter.timeline.floor(self.sight.now - self.settle)
        meters.choose_start(connection, meter.name, start, watermark=min(meter.watermark, newest))
        return True

    def _load(self, connection: Connection) -> Meter:
        meter = meters.load(connection, self.wanted.name)
        assert meter is not None
        return meter
