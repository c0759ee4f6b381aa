"""The events of the ledger, and what has become of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from json import loads
from typing import Any

from psycopg.rows import class_row
from sqlalchemy import Connection, select

from reconciler.database.postgres import execute
from reconciler.database.statements import statement
from reconciler.ledger import tables
from reconciler.ledger.batches import State
from reconciler.ledger.store import Ledger, open_ledger
from reconciler.model.errors import UsageError
from reconciler.model.money import plain
from reconciler.report.status import meter_names, require_ledger
from reconciler.report.summary import iso
from reconciler.settings.load import Settings

_PAGE = 200


@dataclass(frozen=True)
class Event:
    """One event, and all that is known of its delivery; names longer than 200 characters are cut and say so."""

    meter: str
    transaction_id: str
    window_start: datetime
    bucket: bytes = field(repr=False)
    revision: int
    customer: str
    model: str
    subscription: str
    cost: Decimal
    input_tokens: int
    output_tokens: int
    requests: int
    state: State
    held_for: str | None
    conflict: bool
    attempts: int
    attempted_at: datetime | None
    answered_at: datetime | None
    answer: str | None
    failure: str | None
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    batch: int
    batch_events: int
    place: int | None
    payload: str | None = None

    @property
    def why(self) -> str:
        """Why it is not accepted: Lago's words, a person's, or what was seen at the last attempt."""
        if self.state == "accepted":
            return ""
        words = self.reason if self.state == "discarded" else self.answer
        return words or self.failure or ("an earlier event of its bucket is in conflict" if self.held_for else "")

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC, cost as decimal text in USD, the event as it is sent."""
        return {
            "transaction_id": self.transaction_id,
            "meter": self.meter,
            "window": iso(self.window_start),
            "revision": self.revision,
            "customer": self.customer,
            "model": self.model,
            "subscription": self.subscription,
            "cost": plain(self.cost),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "requests": self.requests,
            "state": self.state,
            "held_for": self.held_for,
            "conflict": self.conflict,
            "attempts": self.attempts,
            "attempted_at": iso(self.attempted_at),
            "answered_at": iso(self.answered_at),
            "answer": self.answer,
            "failure": self.failure,
            "decided_at": iso(self.decided_at),
            "decided_by": self.decided_by,
            "reason": self.reason,
            **({} if self.payload is None else {"event": loads(self.payload)}),
        }


COLUMNS = (
    "transaction_id", "meter", "window", "revision", "customer", "model", "subscription", "cost", "input_tokens",
    "output_tokens", "requests", "state", "held_for", "conflict", "attempts", "attempted_at", "answered_at", "answer",
    "failure", "decided_at", "decided_by", "reason",
)  # fmt: skip
"""The names of `Event.as_json`, for CSV."""


def read(
    settings: Settings, meter: str | None = None, *, state: State | None = None, customer: str | None = None
) -> Iterator[Event]:
    """Events page by page, the newest window first; memory stays flat, however many there are.

    Args:
        settings: where the ledger is.
        meter: only of this meter.
        state: only those in it.
        customer: only this customer's.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
    """
    ledger = open_ledger(settings)
    with ledger.transaction() as connection:
        require_ledger(connection)
        names = meter_names(connection, meter)
    return (event for name in names for event in pages(ledger, name, state=state, customer=customer))


def find(settings: Settings, wanted: str, meter: str | None = None, *, state: State | None = None) -> Event:
    """The event of that id, or whose id alone begins so, with its payload.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
        UsageError: there is none, or more than one.
    """
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        event = chosen(connection, wanted, meter, state=state)
        table = tables.event.c
        payload = connection.scalar(
            select(table.payload).where(
                table.meter == event.meter,
                table.window_start == event.window_start,
                table.bucket == event.bucket,
                table.revision == event.revision,
            )
        )
        return replace(event, payload=payload)


def chosen(
    connection: Connection, wanted: str, meter: str | None, *, state: State | None, customer: str | None = None
) -> Event:
    """The one event of that state, or of any, whose id begins so, and its place in its batch; of one customer if told.

    Raises:
        LedgerError: the ledger has no such meter.
        UsageError: there is none, or more than one.
    """
    found: list[Event] = []
    for name in meter_names(connection, meter) if wanted else []:
        found += _page(connection, name, state, customer=customer, wanted=wanted, limit=2, placed=True)
    if len(found) != 1:
        kind = f"{state} event" if state else "event" if customer is None else "event of this customer"
        said = f"More than one {kind} has" if found else f"No {kind} has"
        list_them = f"reconcile {state if state == 'held' else 'quarantine' if state else 'events'}"
        raise UsageError(f"{said} an id that begins with {wanted!r}; `{list_them}` lists them. Nothing was done.")
    return found[0]


def pages(
    ledger: Ledger,
    meter: str,
    *,
    state: State | None = None,
    customer: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Event]:
    """Events of one meter page by page, the newest window first: of a state, of a customer, of windows in a span."""
    last: Event | None = None
    while True:
        with ledger.transaction() as connection:
            page = _page(connection, meter, state, customer=customer, since=since, until=until, after=last)
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def _page(
    connection: Connection,
    meter: str,
    state: State | None,
    *,
    customer: str | None = None,
    wanted: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Event | None = None,
    limit: int = _PAGE,
    placed: bool = False,
) -> list[Event]:
    values = {
        "meter": meter,
        "state": state,
        "customer": customer,
        "id": wanted,
        "since": since,
        "until": until,
        "window_start": after.window_start if after else None,
        "bucket": after.bucket if after else None,
        "revision": after.revision if after else None,
        "limit": limit,
        "placed": placed,
    }
    event_id = statement("ledger/event_id")
    return execute(connection, "report/events", values, class_row(Event), event_id=event_id).fetchall()
