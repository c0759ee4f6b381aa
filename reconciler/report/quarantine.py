"""Quarantined events: those that Lago refuses for good. A person sees them, and lets them go again or gives them up."""

import getpass
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from json import loads
from typing import Any

from psycopg.rows import class_row
from sqlalchemy import Connection, select

from reconciler.database.postgres import execute
from reconciler.ledger import alarms, tables
from reconciler.ledger.balance import balance
from reconciler.ledger.outbox import Part, split_off
from reconciler.ledger.passes import Patience, passes
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import UsageError
from reconciler.model.money import plain
from reconciler.report.status import require_ledger
from reconciler.report.summary import iso
from reconciler.settings.load import Settings


@dataclass(frozen=True)
class Quarantined:
    """One quarantined event; names longer than 200 characters are cut."""

    meter: str
    transaction_id: str
    window_start: datetime
    revision: int
    customer: str
    model: str
    subscription: str
    cost: Decimal
    input_tokens: int
    output_tokens: int
    requests: int
    conflict: bool
    attempts: int
    attempted_at: datetime | None
    answered_at: datetime | None
    answer: str | None
    failure: str | None
    batch: int
    batch_events: int
    place: int
    payload: str | None = None

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
            "conflict": self.conflict,
            "attempts": self.attempts,
            "attempted_at": iso(self.attempted_at),
            "quarantined_at": iso(self.answered_at),
            "answer": self.answer,
            "failure": self.failure,
            **({} if self.payload is None else {"event": loads(self.payload)}),
        }


def read(settings: Settings, meter: str | None = None) -> list[Quarantined]:
    """All quarantined events, of one meter or of all.

    Raises:
        LedgerError: there is no ledger yet.
    """
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        return _read(connection, meter)


def find(settings: Settings, wanted: str, meter: str | None = None) -> Quarantined:
    """The quarantined event of that id, or whose id alone begins so, with its payload.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: there is none, or more than one.
    """
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        [event] = _chosen(_read(connection, meter), [wanted])
        table = tables.event.c
        payload = connection.scalar(
            select(table.payload)
            .where(table.batch == event.batch)
            .order_by(table.window_start, table.bucket, table.revision)
            .offset(event.place)
            .limit(1)
        )
        return replace(event, payload=payload)


def retry(settings: Settings, wanted: Sequence[str] | None, meter: str | None = None) -> list[Quarantined]:
    """Plan quarantined events again; the next pass sends them. None is all of them.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: one of the ids is no quarantined event's; then nothing is done.
    """
    return _decide(settings, wanted, meter, Part((), "planned", open=True, decided_by=_person()))


def discard(settings: Settings, wanted: Sequence[str], reason: str, meter: str | None = None) -> list[Quarantined]:
    """Give quarantined events up, with a reason that is kept.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: there is no reason, or one of the ids is no quarantined event's; then nothing is done.
    """
    if not reason.strip():
        raise UsageError("Discarding needs a reason, such as --reason 'test customer, not to be billed'.")
    return _decide(
        settings, wanted, meter, Part((), "discarded", open=True, decided_by=_person(), reason=reason.strip())
    )


def _decide(settings: Settings, wanted: Sequence[str] | None, meter: str | None, fate: Part) -> list[Quarantined]:
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        events = _read(connection, meter)
        events = events if wanted is None else _chosen(events, wanted)
        decided = [batch for event in _by_batch(events) for batch in _part(connection, event, fate)]
        _let_later_go(connection, sorted({event.meter for event in events}), decided)
        for name in {event.meter for event in events}:
            figures = balance(connection, name, _horizon(settings))
            alarms.review(connection, name, figures, passes(connection, name), Patience.of(settings))
        return events


def _by_batch(events: Sequence[Quarantined]) -> list[list[Quarantined]]:
    batches: dict[int, list[Quarantined]] = defaultdict(list)
    for event in events:
        batches[event.batch].append(event)
    return [batches[batch] for batch in sorted(batches)]


def _part(connection: Connection, events: Sequence[Quarantined], fate: Part) -> list[int]:
    """Let events of one quarantined batch go; return the batch that they are in from now on."""
    first = events[0]
    places = [event.place for event in events]
    stays = Part((), "quarantined", conflict=first.conflict, answer=first.answer, open=True)
    goes = replace(fate, places=places)
    return split_off(connection, first.batch, first.attempts, first.batch_events, [goes], stays=stays)


def _let_later_go(connection: Connection, names: Sequence[str], decided: Sequence[int]) -> None:
    """Plan what a conflict held behind these events: Lago's events stand for them, or they go again."""
    values = {"meters": names, "batches": decided}
    for id_, attempt, events, places in execute(connection, "report/held_behind", values).fetchall():
        goes = Part(places, "planned", open=True)
        split_off(connection, id_, attempt, events, [goes], stays=Part((), "held", held_for="conflict", open=True))


def _person() -> str:
    """Who decides: the login name of whoever runs the command, as far as the system tells."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _read(connection: Connection, meter: str | None) -> list[Quarantined]:
    return execute(connection, "report/quarantined", {"meter": meter}, class_row(Quarantined)).fetchall()


def _chosen(events: Sequence[Quarantined], wanted: Sequence[str]) -> list[Quarantined]:
    chosen = {}
    for text in wanted:
        found = [event for event in events if event.transaction_id.startswith(text)] if text else []
        if len(found) != 1:
            said = f"{len(found)} quarantined events have" if found else "No quarantined event has"
            raise UsageError(
                f"{said} an id that begins with {text!r}; `reconcile quarantine` lists them. Nothing was done."
            )
        chosen[found[0].transaction_id] = found[0]
    return list(chosen.values())


def _horizon(settings: Settings) -> datetime:
    return datetime.now(UTC) - settings.horizon
