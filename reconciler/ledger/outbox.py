"""The ledger's side of delivery: events are claimed, leased and settled, each step a transaction of its own."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import structlog
from sqlalchemy import func, select

from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.lago.client import REQUEST_SECONDS
from reconciler.ledger import tables
from reconciler.ledger.store import Ledger

LEASE = timedelta(seconds=4 * REQUEST_SECONDS)
"""How long a claimed event is left to its sender: longer than a request whose steps all take as long as they may."""

LOST = "its sender was lost before an answer was recorded"

RENEW_SECONDS = 10.0
"""A claim older than this is renewed before the next request: the ledger knows to that when a request began."""

REST = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=1)
"""How long an event that failed alone is left alone: a minute at first, twice as long each time."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger("reconciler")


@dataclass(frozen=True)
class Event:
    """A claimed event.

    Attributes:
        window_start: with the next two, its key in the ledger.
        bucket: hash of customer and model.
        revision: counts the bucket's events.
        payload: what is sent, frozen text.
        subscription: frozen, too.
        attempts: how often it was claimed, this time included.
        open_since: the time of an earlier attempt of which nobody knows whether Lago stored it; None if there is none.
        suspected: how often it failed alone while Lago took others.
        decided: whether a person has decided that it goes: it is not judged before it is sent.
        claimed_at: when it was claimed or renewed last, by the ledger's clock: the claim's mark, which tells it from
            another sender's that came after it.
        leased_at: the same by `lease_clock`.
    """

    window_start: datetime
    bucket: bytes
    revision: int
    payload: str
    subscription: str
    attempts: int
    open_since: datetime | None
    suspected: int
    decided: bool
    claimed_at: datetime
    leased_at: float

    @cached_property
    def transaction_id(self) -> str:
        """The id in the payload, at the place where planning put it."""
        return self.payload.split('"', 4)[3]


def lease_clock() -> float:
    """Seconds of a clock that goes on while the machine is suspended, where the system has one (Linux)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


Failures = Mapping[str, str]
"""By transaction id: why a try in this claim ended without an answer, or has to be repeated."""


class Outbox:
    """One meter's events on their way."""

    def __init__(self, meter: str, ledger: Ledger, *, ask_after: timedelta = timedelta(0)) -> None:
        """Use the ledger; nothing is read yet.

        Args:
            meter: whose events.
            ledger: where they are.
            ask_after: how long after an attempt without an answer an event is left alone, so that Lago can be asked
                what became of it; 0 if it may go again at once.
        """
        self.meter = meter
        self._ledger = ledger
        self._ask_after = ask_after

    def claim(self, limit: int, *, since: datetime = BEGINNING) -> list[Event]:
        """Take up to `limit` planned events that nobody else is sending, of windows from `since` on, for a lease.

        The attempt is committed before the request: what happens to a sender after this is known to the next one.
        """
        values = {
            "meter": self.meter,
            "since": since,
            "lease": LEASE,
            "ask_after": self._ask_after,
            "limit": limit,
            "lost": LOST,
        }
        leased_at = lease_clock()
        with self._ledger.transaction() as connection:
            rows = cursor(connection).execute(statement("delivery/claim"), values)
            claimed = [(Event(*row, leased_at), lost) for *row, lost in rows.fetchall()]  # type: ignore[arg-type,call-arg]
        events = [event for event, _ in claimed]
        if again := [event for event, lost in claimed if lost]:
            first = again[0].transaction_id
            log.warning("events are claimed again", meter=self.meter, events=len(again), first=first, reason=LOST)
        return sorted(events, key=lambda event: event.window_start)

    def newest(self) -> datetime | None:
        """The newest window with planned events; None if there are none."""
        event = tables.event.c
        query = select(func.max(event.window_start)).where(event.meter == self.meter, event.state == "planned")
        with self._ledger.transaction() as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def renew(self, events: Sequence[Event]) -> dict[str, Event]:
        """Keep the events for another lease, before the next request.

        Returns:
            Those that are still ours, by transaction id; the others' claim had ended, and someone else has them.
        """
        leased_at = lease_clock()
        with self._ledger.transaction() as connection:
            values = {"meter": self.meter, "lease": LEASE, **_keys(events)}
            rows = cursor(connection).execute(statement("delivery/renew"), values).fetchall()
        marks = {row[:3]: row[3] for row in rows}
        return {
            event.transaction_id: replace(event, claimed_at=mark, leased_at=leased_at)
            for event in events
            if isinstance(mark := marks.get((event.window_start, event.bucket, event.revision)), datetime)
        }

    def release(
        self,
        events: Sequence[Event],
        *,
        sent: Collection[str] = (),
        failures: Failures = MappingProxyType({}),
        suspected: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Give events back that have no answer.

        Args:
            events: which.
            sent: the ids of those that may have been stored.
            failures: what was seen.
            suspected: by id, how often an event has failed alone while Lago took others; it rests for a while, longer
                each time.
        """
        if not events:
            return
        counts = [suspected.get(event.transaction_id) for event in events]
        values = {
            "meter": self.meter,
            "sent": [event.transaction_id in sent for event in events],
            "open_since": [event.open_since for event in events],
            "failures": _texts(events, failures),
            "suspected": counts,
            "rests": [None if count is None else min(REST * 2 ** (count - 1), LONGEST_REST) for count in counts],
            **_keys(events),
        }
        with self._ledger.transaction() as connection:
            cursor(connection).execute(statement("delivery/release"), values)

    def settle(
        self,
        events: Sequence[Event],
        state: Literal["accepted", "quarantined", "held"],
        answer: str | None = None,
        *,
        sent: Collection[str] = (),
        conflict: bool = False,
        held_for: str | None = None,
        failures: Failures | None = None,
    ) -> int:
        """Record what became of events.

        Args:
            events: which.
            state: what they are from now on.
            answer: Lago's words, or ours.
            sent: the ids of those that may have been stored nevertheless.
            conflict: whether Lago holds other events under these ids; their buckets then send nothing more.
            held_for: why they are held, if they are.
            failures: why they went more than once, if they did.

        Returns:
            How many that were: what Lago has not accepted is left alone if someone else has claimed it since.
        """
        with self._ledger.transaction() as connection:
            work = cursor(connection)
            values = {
                "meter": self.meter,
                "state": state,
                "answer": None if answer is None else _storable(answer),
                "conflict": conflict,
                "held_for": held_for,
                "sent": [event.transaction_id in sent for event in events],
                "open_since": [event.open_since for event in events],
                "failures": _texts(events, failures or {}),
            }
            settled = work.execute(statement("delivery/settle"), {**values, **_keys(events)}).rowcount
            for event in events if conflict and settled else ():
                key = {"window_start": event.window_start, "bucket": event.bucket}
                work.execute(statement("delivery/hold_later_revisions"), {"meter": self.meter, **key})
        return settled

    def move(self, event: Event, timestamp: str) -> Event | None:
        """Give an event that Lago does not have another timestamp, and freeze it; None if it is no longer ours."""
        key = {"window_start": event.window_start, "bucket": event.bucket, "revision": event.revision}
        with self._ledger.transaction() as connection:
            values = {"meter": self.meter, "timestamp": timestamp, "mark": event.claimed_at, **key}
            row = cursor(connection).execute(statement("delivery/move_event"), values).fetchone()
        return None if row is None else replace(event, payload=str(row[0]))

    def release_closed(self) -> None:
        """Plan again what was held because its billing period is closed."""
        with self._ledger.transaction() as connection:
            cursor(connection).execute(statement("delivery/release_closed"), {"meter": self.meter})


def _keys(events: Sequence[Event]) -> dict[str, list[Any]]:
    return {
        "window_starts": [event.window_start for event in events],
        "buckets": [event.bucket for event in events],
        "revisions": [event.revision for event in events],
        "claims": [event.claimed_at for event in events],
    }


def _texts(events: Sequence[Event], failures: Failures) -> list[str | None]:
    return [_storable(failures[id_]) if (id_ := event.transaction_id) in failures else None for event in events]


def _storable(said: str) -> str:
    """A NUL can't be stored; whoever answered with one is quoted without it."""
    return said.replace("\x00", "")
