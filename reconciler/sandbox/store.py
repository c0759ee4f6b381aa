"""What the stand-in keeps: events and provisioned things, in memory or in a SQLite file.

A file is written ahead and synced at each commit, so an answered request survives a kill of the process.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    organization TEXT NOT NULL, transaction_id TEXT NOT NULL, subscription TEXT, code TEXT NOT NULL,
    timestamp INTEGER NOT NULL, cents TEXT, properties TEXT NOT NULL, created_at INTEGER NOT NULL,
    lago_id TEXT NOT NULL,
    UNIQUE (organization, subscription, transaction_id)
);
CREATE INDEX IF NOT EXISTS event_id ON event (organization, transaction_id);
CREATE INDEX IF NOT EXISTS event_usage ON event (organization, subscription, code, timestamp);
CREATE INDEX IF NOT EXISTS event_time ON event (organization, timestamp);
CREATE TABLE IF NOT EXISTS thing (
    lago_id TEXT PRIMARY KEY, organization TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS thing_key ON thing (organization, kind, key);
"""

Thing = dict[str, Any]


class Event(NamedTuple):
    """An event as stored; instants in microseconds since 1970, properties as JSON text."""

    organization: str
    transaction_id: str
    subscription: str | None
    code: str
    timestamp: int
    cents: str | None
    properties: str
    created_at: int
    lago_id: str


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


class Store:
    """One SQLite database, used from one thread at a time."""

    def __init__(self, path: Path | str | None = None) -> None:
        """Open the file at `path`, or a database in memory."""
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database; what was committed stays in the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or nothing of it if the block raises."""
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
            self._db.execute("DELETE FROM event")
            self._db.execute("DELETE FROM thing")

    # -- events

    def insert(self, event: Event) -> bool:
        """Insert unless the id is taken in its organization and subscription; in a NULL one it never is.

        Returns:
            Whether the event was inserted.
        """
        cursor = self._db.execute("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", event)
        return cursor.rowcount == 1

    def event(self, organization: str, transaction_id: str) -> Event | None:
        """Return one event of that id, whichever its subscription."""
        sql = "SELECT * FROM event WHERE organization = ? AND transaction_id = ? ORDER BY rowid LIMIT 1"
        row = self._db.execute(sql, (organization, transaction_id)).fetchone()
        return Event(*row) if row else None

    def count(self, wanted: EventFilter) -> int:
        """Return how many events there are."""
        where, values = wanted.where()
        count: int = self._db.execute(f"SELECT count(*) FROM event WHERE {where}", values).fetchone()[0]  # noqa: S608 -- of constants
        return count

    def events(self, wanted: EventFilter, *, limit: int = -1, offset: int = 0) -> Iterable[Event]:
        """Return events, newest timestamp first, then by transaction_id."""
        where, values = wanted.where()
        sql = f"SELECT * FROM event WHERE {where} ORDER BY timestamp DESC, transaction_id LIMIT ? OFFSET ?"  # noqa: S608 -- of constants
        return map(Event._make, self._db.execute(sql, [*values, limit, offset]))

    # -- provisioned things: metrics, plans, customers, subscriptions

    def save(self, organization: str, kind: str, key: str, body: Thing) -> None:
        """Insert or replace the thing with `body["lago_id"]`, to be found by its code or external id."""
        self._db.execute(
            "INSERT INTO thing VALUES (?,?,?,?,?) ON CONFLICT (lago_id) DO UPDATE SET body = excluded.body",
            (body["lago_id"], organization, kind, key, msgspec.json.encode(body).decode()),
        )

    def things(self, organization: str, kind: str, key: str | None = None) -> list[Thing]:
        """Return the things of a kind, the latest created first."""
        sql = "SELECT body FROM thing WHERE organization = ? AND kind = ? AND (? IS NULL OR key = ?)"
        rows = self._db.execute(f"{sql} ORDER BY rowid DESC", (organization, kind, key, key))
        return [msgspec.json.decode(body) for (body,) in rows]


def new_id() -> str:
    """Return a fresh `lago_id`."""
    return str(uuid4())
