"""Lago's Postgres event store: a 200 is a committed row, and an id is taken forever in its subscription.

What its database can't hold (a NUL character, an index row over a page's third, an instant or an amount out
of range) passes Lago's checks and ends in a 500, in a batch for all of its events.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from reconciler.sandbox.grammar import (
    UnstorableError,
    check_instant,
    counted_number,
    finite,
    parse_cents,
    property_text,
)
from reconciler.sandbox.stores.index_row import fits_index
from reconciler.sandbox.stores.store import Draft, Event, EventFilter, Group, Store, new_id

_UUID_BYTES = 16
"""Of the organization, in an entry of the unique index."""

_COLUMNS = "organization, transaction_id, subscription, code, timestamp, cents, properties, created_at, lago_id"


class PostgresStore(Store):
    """Unique by organization, subscription and transaction_id; a NULL subscription is never equal to another."""

    name = "postgres"
    checks_presence = True
    missing = None
    _schema_number = 11
    _schema = """
    CREATE TABLE IF NOT EXISTS event (
        organization TEXT NOT NULL, transaction_id TEXT NOT NULL, subscription TEXT, code TEXT NOT NULL,
        timestamp INTEGER NOT NULL, cents TEXT, properties TEXT NOT NULL, created_at INTEGER NOT NULL,
        lago_id TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
        UNIQUE (organization, subscription, transaction_id)
    );
    CREATE INDEX IF NOT EXISTS event_id ON event (organization, transaction_id);
    CREATE INDEX IF NOT EXISTS event_usage ON event (organization, subscription, code, timestamp);
    CREATE INDEX IF NOT EXISTS event_time ON event (organization, timestamp);
    """

    def add(self, drafts: Sequence[Draft]) -> list[Event | None]:
        """Insert the events, see `Store.add`.

        Like Lago, it tells which ones are new by their transaction_id alone: of two with one id and two
        subscriptions the later is refused, whichever of them was already stored.
        """
        new = {event.transaction_id: event for draft in drafts if self._insert(event := _row(draft))}
        return [new.pop(draft.transaction_id, None) for draft in drafts]

    def _insert(self, event: Event) -> bool:
        sql = f"INSERT INTO event ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"  # noqa: S608 -- of constants
        return self._db.execute(sql, event).rowcount == 1

    def event(self, organization: str, transaction_id: str) -> Event | None:
        """Return one event of that id, whichever its subscription."""
        where = "organization = ? AND transaction_id = ? AND NOT deleted ORDER BY rowid LIMIT 1"
        return next(iter(self._select(where, [organization, transaction_id])), None)

    def count(self, wanted: EventFilter) -> int:
        """Return how many events there are."""
        where, values = wanted.where()
        sql = f"SELECT count(*) FROM event WHERE {where} AND NOT deleted"  # noqa: S608 -- of constants
        count: int = self._db.execute(sql, values).fetchone()[0]
        return count

    def events(self, wanted: EventFilter, *, limit: int = -1, offset: int = 0) -> Iterable[Event]:
        """Return events, newest timestamp first, then by transaction_id."""
        where, values = wanted.where()
        order = "ORDER BY timestamp DESC, transaction_id LIMIT ? OFFSET ?"
        return self._select(f"{where} AND NOT deleted {order}", [*values, limit, offset])

    def counted(self, wanted: EventFilter, *, dead_letters: bool = False) -> Iterable[Event]:  # noqa: ARG002 -- has none
        """Return what counts: every event there is, once."""
        return self.events(wanted)

    def number(self, value: object) -> Decimal | None:
        """Return the number if the property's text is a plain one, see `grammar.counted_number`."""
        return counted_number(property_text(value))

    def grouped(self, groups: Iterable[Group]) -> list[Group]:
        """Return the groups by their values."""
        return sorted(groups, key=lambda values: [text or "" for text in values])

    def forget(self, organization: str, code: str) -> int:
        """Delete a code's events softly: they are gone from every answer, and their ids stay taken.

        Lagos before August 2026 do so to the events of a metric that is deleted. Returns how many there were.
        """
        sql = "UPDATE event SET deleted = 1 WHERE organization = ? AND code = ? AND NOT deleted"
        return self._db.execute(sql, (organization, code)).rowcount

    def clear_events(self) -> None:
        """Forget the events."""
        self._db.execute("DELETE FROM event")

    def _select(self, where: str, values: Sequence[Any]) -> Iterable[Event]:
        return map(Event._make, self._db.execute(f"SELECT {_COLUMNS} FROM event WHERE {where}", values))  # noqa: S608 -- of constants


def _row(draft: Draft) -> Event:
    """Return the row to insert.

    Raises:
        UnstorableError: Postgres would refuse it.
    """
    check_instant(draft.timestamp)
    transaction_id, subscription, code = draft.transaction_id or "", draft.subscription, draft.code or ""
    key = transaction_id + (subscription or "")
    if "\0" in key or "\0" in code or not fits_index(transaction_id, subscription or "", more=_UUID_BYTES):
        raise UnstorableError(transaction_id)
    return Event(
        organization=draft.organization,
        transaction_id=transaction_id,
        subscription=subscription,
        code=code,
        timestamp=draft.timestamp,
        cents=parse_cents(draft.cents),
        properties=msgspec.json.encode(_jsonb(draft.properties)).decode(),
        created_at=draft.received_at,
        lago_id=new_id(),
    )


def _jsonb(value: Any) -> Any:
    """Return the value as Postgres' jsonb keeps it: keys by length, then bytewise.

    Raises:
        UnstorableError: a text has a NUL character.
    """
    match value:
        case str():
            if "\0" in value:
                raise UnstorableError(value)
            return value
        case float():
            return finite(value)
        case dict():
            return {_jsonb(key): _jsonb(value[key]) for key in sorted(value, key=_jsonb_order)}
        case list():
            return [_jsonb(item) for item in value]
        case _:
            return value


def _jsonb_order(key: str) -> tuple[int, bytes]:
    encoded = key.encode()
    return len(encoded), encoded
