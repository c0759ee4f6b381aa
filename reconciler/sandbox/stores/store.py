"""What a stand-in keeps, in memory or in a SQLite file: provisioned things here, events in one of two ways.

`postgres.py` and `clickhouse.py` are Lago's two event stores. They differ in almost everything that a sender
can see: what a 200 promises, which events are duplicates, what can be read back when, and what counts.

A file is written ahead and synced at each commit, so an answered request survives a kill of the process.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from uuid import uuid4

import msgspec

_THINGS = """
CREATE TABLE IF NOT EXISTS thing (
    lago_id TEXT PRIMARY KEY, organization TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS thing_key ON thing (organization, kind, key);
"""

Thing = dict[str, Any]
Group = tuple[str | None, ...]
"""The values of a charge's pricing group keys; None where an event has no such property."""
_PROPERTIES = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Draft(NamedTuple):
    """An event that Lago's checks let pass and no store has seen yet; instants in microseconds since 1970."""

    organization: str
    transaction_id: str | None
    subscription: str | None
    code: str | None
    timestamp: int
    cents: Any
    properties: dict[str, Any]
    received_at: int


class Event(NamedTuple):
    """An event as stored or answered; instants in microseconds since 1970, properties as JSON text."""

    organization: str
    transaction_id: str | None
    subscription: str | None
    code: str | None
    timestamp: int
    cents: str | None
    properties: str
    created_at: int | None
    lago_id: str | None

    def decoded(self) -> dict[str, Any]:
        """Return the properties, fractions as `Decimal`."""
        return _PROPERTIES.decode(self.properties)


class EventFilter(NamedTuple):
    """Which events of an organization; None means any. Both ends of the time are inclusive."""

    organization: str
    subscription: str | None = None
    code: str | None = None
    since: int | None = None
    until: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return the SQL condition and its parameters."""
        terms = [
            ("organization = ?", self.organization),
            ("subscription = ?", self.subscription),
            ("code = ?", self.code),
            ("timestamp >= ?", self.since),
            ("timestamp <= ?", self.until),
        ]
        given = [(sql, value) for sql, value in terms if value is not None]
        return " AND ".join(sql for sql, _ in given), [value for _, value in given]


class StoreFileError(Exception):
    """The file is none that the store can keep its data in."""


class Store(ABC):
    """One SQLite database, used from one thread at a time.

    Attributes:
        name: `postgres` or `clickhouse`.
        checks_presence: whether a single event without id or code is refused; in a batch it always is.
        missing: what an event counts as whose property is no number: nothing at all, or a zero.
    """

    name: ClassVar[str]
    checks_presence: ClassVar[bool]
    missing: ClassVar[Decimal | None]
    _schema: ClassVar[str]
    _schema_number: ClassVar[int]

    def __init__(self, path: Path | str | None = None) -> None:
        """Open the file at `path`, or a database in memory.

        Raises:
            StoreFileError: it can't be opened, or was written by the other store, another version or something else.
        """
        try:
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreFileError(f"{path}: {error}. Give another file.") from None
        try:
            self._open()
        except (sqlite3.Error, StoreFileError):
            self._db.close()
            raise StoreFileError(f"{path} holds no {self.name} store of this version. Give another file.") from None

    def _open(self) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and found != self._schema_number:
            raise StoreFileError
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(f"{_THINGS}{self._schema}PRAGMA user_version = {self._schema_number};")

    def close(self) -> None:
        """Close the database; what was committed stays in the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or nothing of it if the block raises; inside another it is part of that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Forget everything."""
        with self.transaction():
            self._db.execute("DELETE FROM thing")
            self.clear_events()

    # -- events

    @abstractmethod
    def add(self, drafts: Sequence[Draft]) -> list[Event | None]:
        """Take the events of one request in, inside of a transaction.

        Returns:
            Each as the answer shows it, or None where its id is taken; then the caller rolls back.

        Raises:
            UnstorableError: Lago's database would refuse a row.
        """

    @abstractmethod
    def event(self, organization: str, transaction_id: str) -> Event | None:
        """Return one event of that id, whichever its subscription."""

    @abstractmethod
    def count(self, wanted: EventFilter) -> int:
        """Return how many events `events` returns without a limit."""

    @abstractmethod
    def events(self, wanted: EventFilter, *, limit: int = -1, offset: int = 0) -> Iterable[Event]:
        """Return events as `GET /events` lists them, in its order."""

    @abstractmethod
    def counted(self, wanted: EventFilter, *, dead_letters: bool = False) -> Iterable[Event]:
        """Return the events that aggregations see, each as often as it counts.

        Args:
            wanted: which ones.
            dead_letters: with those whose code was no metric's when ClickHouse saw them, which never count.
        """

    @abstractmethod
    def number(self, value: object) -> Decimal | None:
        """Return the number that aggregations see in a property, None if to them it is none.

        Args:
            value: the decoded JSON value, with fractions as `Decimal`; None for a property that is not there.
        """

    @abstractmethod
    def clear_events(self) -> None:
        """Forget the events, inside of a transaction."""

    @abstractmethod
    def grouped(self, groups: Iterable[Group]) -> list[Group]:
        """Return pricing groups, each the values of its keys, in the order in which usage lists them."""

    def counted_number(self, value: object) -> Decimal | None:
        """Return what an event with that property counts as, None where it is left out."""
        number = self.number(value)
        return self.missing if number is None else number

    def subscription_of(self, _event: Event) -> Thing | None:
        """Return the subscription that an event read back names; the Postgres store never does."""
        return None

    # -- provisioned things: metrics, plans, customers, subscriptions

    def save(self, organization: str, kind: str, key: str, body: Thing) -> None:
        """Insert or replace the thing with `body["lago_id"]`, to be found by its key: a code or an external id."""
        self._db.execute(
            "INSERT INTO thing VALUES (?,?,?,?,?) "
            "ON CONFLICT (lago_id) DO UPDATE SET key = excluded.key, body = excluded.body",
            (body["lago_id"], organization, kind, key, msgspec.json.encode(body).decode()),
        )

    def things(self, organization: str, kind: str, key: str | None = None) -> list[Thing]:
        """Return the things of a kind, the latest created first."""
        sql = "SELECT body FROM thing WHERE organization = ? AND kind = ? AND (? IS NULL OR key = ?)"
        rows = self._db.execute(f"{sql} ORDER BY rowid DESC", (organization, kind, key, key))
        return [msgspec.json.decode(body) for (body,) in rows]

    def count_things(self, organization: str, kind: str) -> int:
        """Return how many things of a kind there have been, deleted ones among them."""
        sql = "SELECT count(*) FROM thing WHERE organization = ? AND kind IN (?, 'deleted ' || ?)"
        count: int = self._db.execute(sql, (organization, kind, kind)).fetchone()[0]
        return count

    def thing(self, lago_id: str) -> Thing:
        """Return a thing by its `lago_id`, deleted or not."""
        (body,) = self._db.execute("SELECT body FROM thing WHERE lago_id = ?", (lago_id,)).fetchone()
        thing: Thing = msgspec.json.decode(body)
        return thing

    def remove(self, thing: Thing) -> None:
        """Delete a thing: only `thing` finds it any more."""
        self._db.execute("UPDATE thing SET kind = 'deleted ' || kind WHERE lago_id = ?", (thing["lago_id"],))


def new_id() -> str:
    """Return a fresh `lago_id`."""
    return str(uuid4())
