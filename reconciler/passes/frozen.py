"""Frozen buckets, found by comparing anew; and the credits by which a person lets them start from where they are.

Nothing is credited by itself, and nothing is sent: a credit says what was done in Lago by hand. It is put on record
only as it was shown, while nobody else plans for the meter.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from psycopg.rows import class_row
from sqlalchemy import Connection, delete, insert, true, update

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.lookout import Lookout
from reconciler.capture.scope import stretches_where
from reconciler.capture.source import Sight, Source, open_source
from reconciler.ledger import alarms, changes, credit, meters, tables
from reconciler.ledger.credit import Credit, Entry, FrozenBucket
from reconciler.ledger.meters import Meter
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import Ledger, open_ledger
from reconciler.model.errors import NoTurnError, ReconcileError, UsageError
from reconciler.model.identity import name_hash
from reconciler.model.money import total
from reconciler.model.terms import Stretch
from reconciler.report.decisions import person
from reconciler.report.status import known_meters, require_ledger
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings

Kind = TypeVar("Kind", bound=Entry)
"""Frozen buckets or credits."""

_FROZEN = "capture/frozen"


@dataclass(frozen=True)
class Found:
    """What there is to decide, and what was decided.

    Attributes:
        frozen: the frozen buckets, oldest window first.
        credits: the credits that count.
    """

    frozen: list[FrozenBucket]
    credits: list[Credit]


def read(settings: Settings) -> Found:
    """The frozen buckets and the credits of the meters that the settings describe; nothing is written.

    Raises:
        ReconcileError: source or ledger can't be used, or a meter reads from another source.
    """
    with _books(settings) as books:
        return Found(
            [bucket for book in books for bucket in book.frozen()], [each for book in books for each in book.credits()]
        )


def accept(settings: Settings, wanted: Sequence[str], reason: str, *, dry_run: bool = False) -> list[FrozenBucket]:
    """Put on record that frozen buckets were credited in Lago: exactly as the list shows them, all or nothing.

    Args:
        settings: where source and ledger are, and which meters.
        wanted: ids, or beginnings of ids.
        reason: why; kept.
        dry_run: only say which they are.

    Raises:
        UsageError: there is no reason, or one of the ids is no frozen bucket's, or no longer.
        ReconcileError: as `read`.
    """
    _need(reason, "--reason 'credited in Lago: rows moved to globex'")
    with _books(settings) as books:
        found = _chosen([bucket for book in books for bucket in book.frozen()], wanted, "frozen bucket")
        if not dry_run:

            def put_on_record(connection: Connection, book: "_Book", some: Sequence[FrozenBucket]) -> None:
                now = {bucket.id for start in _windows(some) for bucket in book.frozen_in(connection, start)}
                _chosen([bucket for bucket in some if bucket.id in now], [each.id for each in some], "frozen bucket")
                credit.record(connection, some, person(), reason.strip())

            _decide(settings, books, found, put_on_record)
        return found


def undo(settings: Settings, wanted: Sequence[str], reason: str) -> list[Credit]:
    """Let credits no longer count: their buckets are billed as if there had been none. All or nothing.

    Args:
        settings: where source and ledger are, and which meters.
        wanted: ids, or beginnings of ids.
        reason: why; kept.

    Raises:
        UsageError: there is no reason, or one of the ids is no credit's.
        ReconcileError: as `read`.
    """
    _need(reason, "--reason 'the credit note was voided'")
    with _books(settings) as books:
        found = _chosen([each for book in books for each in book.credits()], wanted, "credit")

        def take_off_record(connection: Connection, book: "_Book", some: Sequence[Credit]) -> None:
            standing = credit.standing(connection, book.meter.name)
            credit.undo(connection, _chosen(standing, [each.id for each in some], "credit"), person(), reason.strip())

        _decide(settings, books, found, take_off_record)
        return found


@dataclass(frozen=True)
class _Book:
    """One meter, and what compares it with the source."""

    meter: Meter
    ledger: Ledger
    comparison: Comparison
    chunks: Chunks
    turn: float

    def frozen(self) -> Iterator[FrozenBucket]:
        """The frozen buckets of all windows that had some when they were last looked at."""
        for stretch in self._stretches():
            for _, rows in self.chunks.compared(self.comparison, _FROZEN, stretch, class_row(FrozenBucket)):
                yield from rows

    def frozen_in(self, connection: Connection, start: datetime) -> list[FrozenBucket]:
        """The frozen buckets of one window."""
        terms = self.meter.timeline.at(start)
        window = Stretch(terms, start, start + terms.window)
        return self.comparison.rows(connection, _FROZEN, window, class_row(FrozenBucket))

    def credits(self) -> list[Credit]:
        """The credits that count."""
        with self.ledger.transaction() as connection:
            return credit.standing(connection, self.meter.name)

    def look_again(self, connection: Connection, start: datetime) -> None:
        """Note how a window stands now, and let the next pass look at it: what is new in it is billed."""
        left = self.frozen_in(connection, start)
        table = tables.window
        known = (table.c.meter == self.meter.name) & (table.c.start == start)
        figures = {"frozen_buckets": len(left), "frozen_cost": _below(left)}
        connection.execute(update(table).where(known).values(figures))
        self._note_whose(connection, start, left)
        until = self.meter.timeline.window_end(start)
        look = {"meter": self.meter.name, "kind": "backfill", "since": start, "until": until, "position": start}
        connection.execute(insert(tables.look).values(look))

    def _note_whose(self, connection: Connection, start: datetime, left: Iterable[FrozenBucket]) -> None:
        """Note whose buckets of a window are frozen now, as a look does: the alarm names them."""
        table = tables.unbilled
        place = {"meter": self.meter.name, "window_start": start, "why": "frozen"}
        connection.execute(delete(table).where(*(table.c[name] == value for name, value in place.items())))
        by_customer: dict[str, list[FrozenBucket]] = defaultdict(list)
        for bucket in left:
            by_customer[bucket.customer].append(bucket)
        if by_customer:
            lines = [
                {
                    **place,
                    "id": name_hash(customer),  # a huge name is cut: the next look has all of it
                    "customer": customer,
                    "buckets": len(buckets),
                    "requests": sum(bucket.requests for bucket in buckets),
                    "cost": total(bucket.cost for bucket in buckets),
                }
                for customer, buckets in by_customer.items()
            ]
            connection.execute(insert(table), lines)

    def _stretches(self) -> Iterator[Stretch]:
        window, mark = tables.window.c, self.meter.purge_mark
        left = true() if mark is None else window.start > mark
        return stretches_where(self.ledger, self.meter, left & (window.frozen_buckets > 0))


@contextmanager
def _books(settings: Settings) -> Iterator[list[_Book]]:
    """The meters of the settings that the ledger knows."""
    ledger = open_ledger(settings)
    source = open_source(settings, ledger)
    try:
        with ledger.transaction() as connection:
            require_ledger(connection)
            found = known_meters(connection, settings)
        sight = source.sight()
        yield [_book(settings, source, sight, ledger, wanted, meter) for wanted, meter in found]
    except NoTurnError as error:
        raise ReconcileError(f"Nothing was done: {error}. Try again.") from error
    finally:
        source.close()
        ledger.close()


def _book(
    settings: Settings, source: Source, sight: Sight, ledger: Ledger, wanted: MeterSettings, meter: Meter
) -> _Book:
    changes.refuse_moved(meter, source=asdict(sight.place))
    lookout, turn = Lookout(settings, wanted, source, sight, ledger), settings.limits.backfill_turn
    return _Book(meter, ledger, lookout.comparison(lookout.settled(meter)), lookout.chunks(turn), turn)


def _decide(
    settings: Settings,
    books: Iterable[_Book],
    found: Sequence[Kind],
    change: Callable[[Connection, _Book, Sequence[Kind]], None],
) -> None:
    """Change what is on record of these buckets, in one transaction that has the turns of their meters."""
    by_meter: dict[str, list[Kind]] = defaultdict(list)
    for each in found:
        by_meter[each.meter].append(each)
    chosen = sorted((book for book in books if book.meter.name in by_meter), key=lambda book: book.meter.name)
    if not chosen:
        return
    with chosen[0].ledger.transaction(planning=True) as connection:
        for book in chosen:
            name = book.meter.name
            meters.take_turn(connection, name, seconds=book.turn)
            change(connection, book, by_meter[name])
            for start in _windows(by_meter[name]):
                book.look_again(connection, start)
            alarms.review_now(connection, name, settings.horizon, Patience.of(settings))


def _below(buckets: Iterable[FrozenBucket]) -> Decimal:
    """By how much they are below in all, USD. One of fewer tokens that cost more is above."""
    return total(amount for bucket in buckets for amount in (bucket.billed_cost, -bucket.source_cost))


def _windows(found: Iterable[Entry]) -> list[datetime]:
    return sorted({each.window_start.astimezone(UTC) for each in found})


def _chosen(found: Sequence[Kind], wanted: Sequence[str], kind: str) -> list[Kind]:
    """Those whose ids begin so, each once.

    Raises:
        UsageError: there is none, or more than one.
    """
    chosen: dict[str, Kind] = {}
    for text in wanted:
        those = [each for each in found if each.id.startswith(text)] if text else []
        if len(those) != 1:
            said = f"More than one {kind} has" if those else f"No {kind} has"
            raise UsageError(
                f"{said} an id that begins with {text!r}; `reconcile frozen` lists them. One that has changed since it "
                "was listed has another id. Nothing was done."
            )
        chosen[those[0].id] = those[0]
    return list(chosen.values())


def _need(reason: str, example: str) -> None:
    if not reason.strip():
        raise UsageError(f"This needs a reason, such as {example}.")
