"""The ledger's side of delivery: events are claimed, leased and settled, each step a transaction of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, text

from reconciler.lago import REQUEST_SECONDS
from reconciler.ledger.store import Ledger
from reconciler.postgres import cursor
from reconciler.statements import statement

LEASE = timedelta(seconds=3 * REQUEST_SECONDS)
"""How long a claimed event is left to its sender; longer than a request may take."""


@dataclass(frozen=True)
class Event:
    """A claimed event: its key in the ledger, what is sent, and how often and since when it was claimed."""

    window_start: datetime
    bucket: bytes
    revision: int
    payload: str
    subscription: str
    attempts: int
    attempted_at: datetime

    @property
    def transaction_id(self) -> str:
        """The id in the payload, at the place where planning put it."""
        return self.payload.split('"', 4)[3]


class Outbox:
    """One meter's events on their way."""

    def __init__(self, meter: str, ledger: Ledger) -> None:
        """Use the ledger; nothing is read yet."""
        self._meter = meter
        self._ledger = ledger

    def claim(self, limit: int) -> list[Event]:
        """Take up to `limit` planned events that nobody else is sending, for the time of a lease.

        The attempt is committed before the request: what happens to a sender after this is known to the next one.
        """
        with self._ledger.transaction() as connection:
            values = {"meter": self._meter, "lease": LEASE, "limit": limit}
            rows = cursor(connection).execute(statement("claim"), values)
            events = [Event(*row) for row in rows.fetchall()]  # type: ignore[arg-type]
        # In the same order from every sender: two batches that overlap in Lago then can't deadlock there.
        return sorted(events, key=lambda event: event.transaction_id)

    def renew(self, events: Sequence[Event]) -> list[Event]:
        """Keep the events for another lease; those that someone else has settled meanwhile are left out."""
        with self._ledger.transaction() as connection:
            ours = self._lease(connection, events, LEASE)
        return [event for event in events if (event.window_start, event.bucket, event.revision) in ours]

    def release(self, events: Sequence[Event]) -> None:
        """Give events back that have no answer."""
        if events:
            with self._ledger.transaction() as connection:
                self._lease(connection, events, None)

    def settle(
        self,
        events: Sequence[Event],
        state: Literal["accepted", "quarantined", "held"],
        answer: str | None = None,
        *,
        conflict: bool = False,
        held_for: str | None = None,
    ) -> None:
        """Record what became of events.

        Args:
            events: which.
            state: what they are from now on.
            answer: Lago's words, or ours.
            conflict: whether Lago holds other events under these ids; their buckets then send nothing more.
            held_for: why they are held, if they are.
        """
        with self._ledger.transaction() as connection:
            work = cursor(connection)
            values = {
                "meter": self._meter,
                "state": state,
                # A NUL can't be stored; whoever answered with one is quoted without it.
                "answer": None if answer is None else answer.replace("\x00", ""),
                "conflict": conflict,
                "held_for": held_for,
            }
            work.execute(statement("settle"), {**values, **_keys(events)})
            for event in events if conflict else ():
                key = {"window_start": event.window_start, "bucket": event.bucket}
                work.execute(statement("hold_later_revisions"), {"meter": self._meter, **key})

    def move(self, event: Event, timestamp: str) -> Event:
        """Give an event that was never sent another timestamp, and freeze it again."""
        with self._ledger.transaction() as connection:
            values = {"meter": self._meter, "timestamp": timestamp, **_key(event)}
            row = cursor(connection).execute(statement("move_event"), values).fetchone()
        return event if row is None else replace(event, payload=str(row[0]))

    def release_closed(self) -> None:
        """Plan again what was held because its billing period is closed."""
        with self._ledger.transaction() as connection:
            cursor(connection).execute(statement("release_closed"), {"meter": self._meter})

    def accepted_since(self, moment: datetime) -> bool:
        """Whether Lago has taken any recent event of the meter since then."""
        with self._ledger.transaction() as connection:
            return bool(
                connection.scalar(
                    text(
                        "SELECT EXISTS (SELECT FROM reconciler.event WHERE meter = :meter AND state = 'accepted' "
                        "AND window_start >= (SELECT watermark - interval '35 days' FROM reconciler.meter "
                        "WHERE name = :meter) AND answered_at > :moment)"
                    ),
                    {"meter": self._meter, "moment": moment},
                )
            )

    def _lease(
        self, connection: Connection, events: Sequence[Event], lease: timedelta | None
    ) -> set[tuple[object, ...]]:
        values = {"meter": self._meter, "lease": lease, **_keys(events)}
        return set(cursor(connection).execute(statement("release"), values).fetchall())


def _key(event: Event) -> dict[str, Any]:
    return {"window_start": event.window_start, "bucket": event.bucket, "revision": event.revision}


def _keys(events: Sequence[Event]) -> dict[str, list[Any]]:
    return {
        "window_starts": [event.window_start for event in events],
        "buckets": [event.bucket for event in events],
        "revisions": [event.revision for event in events],
    }
