"""What a person decides about events that wait for a decision: those that Lago refuses for good, and those held."""

import getpass
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec.structs import replace
from psycopg.rows import args_row
from sqlalchemy import Connection, update

from reconciler.database.postgres import execute
from reconciler.ledger import alarms, tables
from reconciler.ledger.batches import CLOSED_PERIOD, CONFLICT, Part, Seen
from reconciler.ledger.outbox import split_off
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import UsageError
from reconciler.model.money import total
from reconciler.report.events import Event, chosen
from reconciler.report.status import meter_names, require_ledger
from reconciler.settings.load import Settings

Waiting = Literal["quarantined", "held"]
"""The states in which events wait for a decision."""


@dataclass
class Decided:
    """What a decision was about.

    Attributes:
        events: how many.
        cost: theirs, USD.
        batches: those that they are in from now on, by their meter.
    """

    events: int = 0
    cost: Decimal = Decimal()
    batches: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class _Group(NamedTuple):
    """A batch of which some events, or all, are decided about."""

    id: int
    meter: str
    attempts: int
    events: int
    cost: Decimal
    held_for: str | None
    conflict: bool
    answer: str | None
    places: Sequence[int] = ()


def retry(settings: Settings, wanted: Sequence[str] | None, meter: str | None = None) -> Decided:
    """Plan quarantined events again; the next pass sends them. None is all of them.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
        UsageError: one of the ids is no quarantined event's; then nothing is done.
    """
    return _decide(settings, "quarantined", wanted, meter, Part((), "planned", open=True, decided_by=person()))


def release(settings: Settings, wanted: Sequence[str] | None, reason: str, meter: str | None = None) -> Decided:
    """Plan held events as they are, whatever Lago will bill of them; the next pass sends them. None is all of them.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
        UsageError: one of the ids is no held event's, or waits behind a conflict; then nothing is done.
    """
    fate = Part((), "planned", open=True, decided_by=person(), reason=reason)
    return _decide(settings, "held", wanted, meter, fate, only=CLOSED_PERIOD)


def set_apart(settings: Settings, wanted: Sequence[str] | None, meter: str | None = None) -> Decided:
    """Put held events into batches of their own, so that they can be moved; they stay held. None is all of them.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
        UsageError: one of the ids is no held event's, or waits behind a conflict; then nothing is done.
    """
    return _decide(settings, "held", wanted, meter, None, only=CLOSED_PERIOD)


def discard(
    settings: Settings, state: Waiting, wanted: Sequence[str], reason: str, meter: str | None = None
) -> Decided:
    """Give events of a state up, with a reason that is kept.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
        UsageError: there is no reason, or one of the ids is no such event's; then nothing is done.
    """
    if not reason.strip():
        raise UsageError("Discarding needs a reason, such as --reason 'test customer, not to be billed'.")
    fate = Part((), "discarded", open=True, decided_by=person(), reason=reason.strip())
    return _decide(settings, state, wanted, meter, fate)


def person() -> str:
    """Who decides: the login name of whoever runs the command, as far as the system tells."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _decide(
    settings: Settings,
    state: Waiting,
    wanted: Sequence[str] | None,
    meter: str | None,
    fate: Part | None,
    *,
    only: str | None = None,
) -> Decided:
    """Let events of one state go their way, all or nothing; without a fate they stay what they are."""
    done = Decided()
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        meter_names(connection, meter)
        groups = _all(connection, state, meter, only) if wanted is None else _chosen(connection, state, wanted, meter)
        for group in groups:
            if only is not None and group.held_for != only:
                raise UsageError(
                    f"Of these events {len(group.places)} wait behind a conflict: `reconcile quarantine` shows it, and "
                    "they go once it is decided about. Nothing was done."
                )
            if made := _part(connection, group, state, fate):
                done.events += len(group.places)
                done.cost = total([done.cost, group.cost])
                done.batches[group.meter] += made
        decided = [batch for some in done.batches.values() for batch in some]
        if state == "quarantined":
            _let_later_go(connection, sorted(done.batches), decided)
        for name in sorted(done.batches):
            alarms.review_now(connection, name, settings.horizon, Patience.of(settings))
    return done


def _part(connection: Connection, group: _Group, state: Waiting, fate: Part | None) -> list[int]:
    """Let these events of a batch go; return the batch that they are in from now on, none if another was quicker."""
    stays = Part((), state, held_for=group.held_for, conflict=group.conflict, answer=group.answer, open=True)
    if fate is None and len(group.places) == group.events:
        return [group.id]
    goes = replace(fate or stays, places=group.places)
    return split_off(connection, Seen(group.id, group.attempts, state, group.events), [goes], stays=stays)


def _all(connection: Connection, state: Waiting, meter: str | None, held_for: str | None) -> Iterator[_Group]:
    """All batches of the state, some at a time. Those that are decided about meanwhile have other states or numbers."""
    after = 0
    while True:
        values = {"state": state, "meter": meter, "held_for": held_for, "after": after}
        found = execute(connection, "report/batches_of_state", values, args_row(_Group)).fetchall()
        if not found:
            return
        for group in found:
            yield group._replace(places=range(group.events))
        after = found[-1].id


def _chosen(connection: Connection, state: Waiting, wanted: Sequence[str], meter: str | None) -> list[_Group]:
    events = {
        event.transaction_id: event for text in wanted for event in [chosen(connection, text, meter, state=state)]
    }
    batches: dict[int, list[Event]] = defaultdict(list)
    for event in events.values():
        batches[event.batch].append(event)
    return [
        _Group(
            id=batch,
            meter=some[0].meter,
            attempts=some[0].attempts,
            events=some[0].batch_events,
            cost=total(event.cost for event in some),
            held_for=some[0].held_for,
            conflict=some[0].conflict,
            answer=some[0].answer,
            places=[event.place for event in some if event.place is not None],
        )
        for batch, some in sorted(batches.items())
    ]


def _let_later_go(connection: Connection, names: Sequence[str], decided: Sequence[int]) -> None:
    """Plan what a conflict held behind these events: Lago's events stand for them, or they go again, and first."""
    values = {"meters": names, "batches": decided}
    stays = Part((), "held", held_for=CONFLICT, open=True)
    for *seen, places in execute(connection, "report/held_behind", values).fetchall():
        made = split_off(connection, Seen(*seen), [Part(places, "planned", open=True)], stays=stays)
        connection.execute(update(tables.batch).where(tables.batch.c.id.in_(made)).values(behind=True))
