"""Lago's ClickHouse event store: a 200 is a message on its way, and nothing is a duplicate when it comes in.

An event is a message (in Kafka) until ClickHouse has read it, `lag` seconds later. Then it is a row of
`events_raw`, where every copy stays, and, if its code is a metric's, one of `events_enriched`, where rows with
the same key are merged at some time or never. Counted is the latest copy of each key (organization, code,
subscription, transaction_id, timestamp to the millisecond) or, without deduplication, each unmerged copy.

Tests have its weather in hand: how long messages take, or that they wait to be released; which ones are lost
after the 200; when copies are merged.

What is read back is text: properties are a `Map(String, String)`, and cents that were not sent read 0. Events are
counted by what was sent.

What a column of ClickHouse can't hold, where Postgres would end in a 500, is taken and lost here. That is
inferred from the types of the columns, not seen.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from reconciler.sandbox.grammar import SECOND, UnstorableError, decimal128, finite, parse_cents
from reconciler.sandbox.stores.store import Draft, Event, EventFilter, Group, Store, Thing
from reconciler.sandbox.stores.text_map import text_map
from reconciler.sandbox.trouble.chance import Chance, Chances, Named

# DateTime64(3) begins with the year 1900 and ends with 2299.
_FIRST_INSTANT, _LAST_INSTANT = -2_208_988_800 * SECOND, 10_413_792_000 * SECOND - 1
_MILLISECOND = 1000

_COLUMNS = "organization, transaction_id, subscription, code, timestamp, cents, properties, created_at, lago_id"
_KEY = "organization, code, subscription, transaction_id, timestamp"

_READ = f"""
INSERT INTO event ({_COLUMNS}, enriched_at, state)
SELECT {_COLUMNS}, visible_at, CASE WHEN EXISTS (
    SELECT 1 FROM thing WHERE kind = 'billable_metric' AND organization = message.organization AND key = message.code
) THEN 'enriched' ELSE 'dead' END
FROM message WHERE visible_at <= ? ORDER BY visible_at, rowid
"""  # noqa: S608 -- of constants

# The place of each row among the copies of its key, the latest first.
_PLACED = f"""
SELECT *, row_number() OVER (PARTITION BY {_KEY} ORDER BY enriched_at DESC, number DESC) AS place
FROM event WHERE {{where}} AND state IN ('enriched', ?)
"""  # noqa: S608 -- of constants


class ClickHouseStore(Store):
    """Messages and rows; see the module.

    Attributes:
        lag: the seconds from a 200 until the event can be read and counts, None for as long as `release` waits.
        deduplication: the organization's `clickhouse_deduplication_enabled`.
        losses: which messages are lost.
    """

    name = "clickhouse"
    checks_presence = False
    missing = Decimal(0)
    _schema_number = 12
    _schema = """
    CREATE TABLE IF NOT EXISTS message (
        organization TEXT NOT NULL, transaction_id TEXT NOT NULL, subscription TEXT NOT NULL, code TEXT NOT NULL,
        timestamp INTEGER NOT NULL, cents TEXT, properties TEXT NOT NULL, created_at INTEGER NOT NULL,
        lago_id TEXT NOT NULL, visible_at INTEGER
    );
    CREATE INDEX IF NOT EXISTS message_time ON message (visible_at);
    CREATE TABLE IF NOT EXISTS event (
        number INTEGER PRIMARY KEY,
        organization TEXT NOT NULL, transaction_id TEXT NOT NULL, subscription TEXT NOT NULL, code TEXT NOT NULL,
        timestamp INTEGER NOT NULL, cents TEXT, properties TEXT NOT NULL, created_at INTEGER NOT NULL,
        lago_id TEXT NOT NULL, enriched_at INTEGER NOT NULL, state TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS event_id ON event (organization, transaction_id);
    CREATE INDEX IF NOT EXISTS event_key ON event (organization, subscription, code, timestamp, transaction_id);
    CREATE INDEX IF NOT EXISTS event_time ON event (organization, created_at);
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        now: Callable[[], int],
        lag: float | None = 0.0,
        deduplication: bool = True,
    ) -> None:
        """Open the file at `path`, or a database in memory.

        Args:
            path: the file.
            now: the clock, in microseconds since 1970.
            lag: see the attribute, as for `deduplication`.
            deduplication: whether only the latest copy counts.

        Raises:
            StoreFileError: the file holds another store.
        """
        super().__init__(path)
        self._now = now
        self._at_first = (lag, deduplication)
        self.lag, self.deduplication = lag, deduplication
        self.losses: Chances[Chance] = Chances()
        self._room: int | None = None

    # -- in

    def add(self, drafts: Sequence[Draft]) -> list[Event | None]:
        """Send a message for each event, see `Store.add`; nothing is ever taken."""
        return [self._send(draft) for draft in drafts]

    def _send(self, draft: Draft) -> Event:
        """Send one message unless it gets lost, and return what is answered in either case."""
        answered = Event(
            organization=draft.organization,
            transaction_id=draft.transaction_id,
            subscription=draft.subscription,
            code=draft.code,
            timestamp=draft.timestamp,
            cents=_cents(draft),
            properties=msgspec.json.encode(_ruby(draft.properties)).decode(),
            created_at=None,
            lago_id=None,
        )
        transaction_id, subscription = draft.transaction_id or "", draft.subscription or ""
        if self._arrives(Named(transaction_id, subscription)) and _fits_columns(draft):
            ingested_at = draft.received_at // _MILLISECOND * _MILLISECOND
            message = answered._replace(
                transaction_id=transaction_id,
                subscription=subscription,
                code=draft.code or "",
                timestamp=draft.timestamp // _MILLISECOND * _MILLISECOND,
                created_at=ingested_at,
                lago_id=f"{draft.organization}-{subscription}-{transaction_id}-{ingested_at // SECOND}",
            )
            visible_at = None if self.lag is None else self._now() + int(self.lag * SECOND)
            self._db.execute("INSERT INTO message VALUES (?,?,?,?,?,?,?,?,?,?)", (*message, visible_at))
        return answered

    def _arrives(self, event: Named) -> bool:
        if self._room == 0:
            return False
        if self._room is not None:
            self._room -= 1
        return not self.losses or self.losses.take(lambda loss: loss.fits(event)) is None

    @contextmanager
    def only(self, events: int) -> Iterator[None]:
        """Let only the first so many events of the block become messages: Lago died while it handed them over."""
        self._room = events
        try:
            yield
        finally:
            self._room = None

    # -- weather

    def waiting(self) -> int:
        """Return how many messages ClickHouse has not read yet."""
        self._read_messages()
        count: int = self._db.execute("SELECT count(*) FROM message").fetchone()[0]
        return count

    def release(self) -> int:
        """Let ClickHouse read all messages now; returns how many there were."""
        waiting = self.waiting()
        self._db.execute("UPDATE message SET visible_at = ?", (self._now(),))
        self._read_messages()
        return waiting

    def merge(self) -> int:
        """Merge the copies of each key into the latest; returns how many rows of `events_enriched` that ended."""
        self._read_messages()
        older = f"SELECT number FROM ({_PLACED.format(where='TRUE')}) WHERE place > 1"  # noqa: S608 -- of constants
        return self._db.execute(
            f"UPDATE event SET state = 'merged' WHERE number IN ({older})",  # noqa: S608 -- of constants
            ("",),
        ).rowcount

    def _read_messages(self) -> None:
        now = self._now()
        if self._db.execute("SELECT 1 FROM message WHERE visible_at <= ? LIMIT 1", (now,)).fetchone():
            with self.transaction():
                self._db.execute(_READ, (now,))
                self._db.execute("DELETE FROM message WHERE visible_at <= ?", (now,))

    # -- out

    def event(self, organization: str, transaction_id: str) -> Event | None:
        """Return one copy of an event of that id, if ClickHouse has read any."""
        where = "organization = ? AND transaction_id = ? ORDER BY number LIMIT 1"
        return next(iter(self._select(where, [organization, transaction_id])), None)

    def count(self, wanted: EventFilter) -> int:
        """Return how many rows `events_raw` has."""
        self._read_messages()
        where, values = wanted.where()
        count: int = self._db.execute(f"SELECT count(*) FROM event WHERE {where}", values).fetchone()[0]  # noqa: S608 -- of constants
        return count

    def events(self, wanted: EventFilter, *, limit: int = -1, offset: int = 0) -> Iterable[Event]:
        """Return rows of `events_raw`, every copy, the latest taken in first, then by transaction_id."""
        where, values = wanted.where()
        order = "ORDER BY created_at DESC, transaction_id LIMIT ? OFFSET ?"
        return self._select(f"{where} {order}", [*values, limit, offset])

    def enriched(self, wanted: EventFilter) -> list[tuple[Event, int]]:
        """Return the unmerged rows of `events_enriched` as sent, with their `enriched_at`, the latest first."""
        self._read_messages()
        where, values = wanted.where()
        order = "ORDER BY enriched_at DESC, transaction_id"
        sql = f"SELECT {_COLUMNS}, enriched_at FROM event WHERE {where} AND state = 'enriched' {order}"  # noqa: S608 -- of constants
        return [(Event._make(row[:-1]), row[-1]) for row in self._db.execute(sql, values)]

    def counted(self, wanted: EventFilter, *, dead_letters: bool = False) -> Iterable[Event]:
        """Return the latest copy of each event or, without deduplication, every unmerged one; see `Store.counted`."""
        self._read_messages()
        where, values = wanted.where()
        if self.deduplication:
            sql = f"SELECT {_COLUMNS} FROM ({_PLACED.format(where=where)}) WHERE place = 1"  # noqa: S608 -- of constants
        else:
            sql = f"SELECT {_COLUMNS} FROM event WHERE {where} AND state IN ('enriched', ?)"  # noqa: S608 -- of constants
        return map(Event._make, self._db.execute(sql, [*values, "dead" if dead_letters else ""]))

    def number(self, value: object) -> Decimal | None:
        """Return the number as `decimal128` reads it; an event without one counts as a zero."""
        return decimal128(value)

    def grouped(self, groups: Iterable[Group]) -> list[Group]:
        """Return the groups in no order that means anything, and the same each time: ClickHouse promises none."""
        return sorted(groups, key=lambda values: blake2b(repr(values).encode()).digest())

    def subscription_of(self, event: Event) -> Thing | None:
        """Return the subscription whose life holds the event, to the millisecond, looked up when it is read."""
        for one in self.things(event.organization, "subscription", event.subscription):
            started, ended = one["started_at"], one["terminated_at"]
            if (
                started is not None
                and started // _MILLISECOND * _MILLISECOND <= event.timestamp
                and (ended is None or ended // _MILLISECOND * _MILLISECOND >= event.timestamp)
            ):
                return one
        return None

    def save(self, organization: str, kind: str, key: str, body: Thing) -> None:
        """Save a thing, see `Store.save`; what ClickHouse has read by now did not know of it."""
        self._read_messages()
        super().save(organization, kind, key, body)

    def clear_events(self) -> None:
        """Forget events and messages; lag, deduplication and losses are as at the start."""
        self._db.execute("DELETE FROM event")
        self._db.execute("DELETE FROM message")
        self.lag, self.deduplication = self._at_first
        self.losses.clear()

    def _select(self, where: str, values: Sequence[Any]) -> Iterable[Event]:
        self._read_messages()
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM event WHERE {where}", values)  # noqa: S608 -- of constants
        return (read_back(Event._make(row)) for row in rows)


def read_back(event: Event) -> Event:
    """Return an event as the columns of ClickHouse give it back."""
    return event._replace(properties=text_map(event.properties), cents=event.cents or "0.0")


def _cents(draft: Draft) -> str | None:
    try:
        return parse_cents(draft.cents)
    except UnstorableError:
        return str(draft.cents)


def _fits_columns(draft: Draft) -> bool:
    try:
        parse_cents(draft.cents)
    except UnstorableError:
        return False
    return _FIRST_INSTANT <= draft.timestamp <= _LAST_INSTANT


def _ruby(value: Any) -> Any:
    """Return the value as Ruby writes it into a message: keys as they came, no number over the float range."""
    match value:
        case float():
            return finite(value)
        case dict():
            return {key: _ruby(item) for key, item in value.items()}
        case list():
            return [_ruby(item) for item in value]
        case _:
            return value
