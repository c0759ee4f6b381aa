"""Quarantined events: those that Lago refuses for good. A person sees them, and lets them go again or gives them up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from json import loads
from typing import Any

from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.ledger import alarms
from reconciler.ledger.balance import standing
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import UsageError
from reconciler.report.status import require_ledger
from reconciler.report.summary import iso, plain
from reconciler.settings.load import Settings


@dataclass(frozen=True)
class Quarantined:
    """One quarantined event, with the columns of the ledger's table."""

    meter: str
    transaction_id: str
    window_start: datetime
    bucket: bytes
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
    payload: str

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
            "event": loads(self.payload),
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
    """The quarantined event of that id, or whose id alone begins so.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: there is none, or more than one.
    """
    return _chosen(read(settings, meter), [wanted])[0]


def retry(settings: Settings, wanted: Sequence[str] | None, meter: str | None = None) -> list[Quarantined]:
    """Plan quarantined events again; the next pass sends them. None is all of them.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: one of the ids is no quarantined event's; then nothing is done.
    """
    return _decide(settings, "retry", wanted, meter, {})


def discard(settings: Settings, wanted: Sequence[str], reason: str, meter: str | None = None) -> list[Quarantined]:
    """Give quarantined events up, with a reason that is kept.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: there is no reason, or one of the ids is no quarantined event's; then nothing is done.
    """
    if not reason.strip():
        raise UsageError("Discarding needs a reason, such as --reason 'test customer, not to be billed'.")
    return _decide(settings, "discard", wanted, meter, {"reason": reason.strip()})


def _decide(
    settings: Settings, what: str, wanted: Sequence[str] | None, meter: str | None, values: dict[str, Any]
) -> list[Quarantined]:
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        events = _read(connection, meter)
        events = events if wanted is None else _chosen(events, wanted)
        keys = {
            "meters": [event.meter for event in events],
            "window_starts": [event.window_start for event in events],
            "buckets": [event.bucket for event in events],
            "revisions": [event.revision for event in events],
        }
        work = cursor(connection)
        work.execute(statement(f"delivery/{what}"), keys | values)
        work.execute(statement("delivery/let_later_go"), keys)
        for name in {event.meter for event in events}:
            alarms.review(connection, name, standing(connection, name, _horizon(settings)))
        return events


def _read(connection: Connection, meter: str | None) -> list[Quarantined]:
    reading = cursor(connection).connection.cursor(row_factory=class_row(Quarantined))
    return reading.execute(statement("report/quarantined"), {"meter": meter}).fetchall()


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
