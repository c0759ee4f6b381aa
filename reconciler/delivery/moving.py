"""Held events, moved to the present period on a person's word: the next pass sends them there. Design, section 7."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from psycopg.rows import args_row

from reconciler.database.postgres import execute
from reconciler.delivery.gate import Gate
from reconciler.delivery.mirror import Mirror
from reconciler.delivery.periods import HELD_FOR, Periods
from reconciler.delivery.spans import first_sure_moment
from reconciler.lago.client import Lago
from reconciler.lago.sentences import CantBeAskedError
from reconciler.ledger import meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.outbox import Part, split
from reconciler.ledger.store import Ledger, open_ledger
from reconciler.settings.load import Settings


class _Some(NamedTuple):
    """Events of a held batch that are of one subscription."""

    batch: int
    attempt: int
    events: int
    answer: str | None
    external_id: str
    places: list[int]


@dataclass
class Moved:
    """What became of held events.

    Attributes:
        events: how many were moved and planned.
        left: whose stay held: they have no present period, or Lago can't be asked about them.
    """

    events: int = 0
    left: set[str] = field(default_factory=set)


def move(settings: Settings, batches: dict[str, list[int]], decided_by: str, reason: str) -> Moved:
    """Give the events of held batches the first moment that is surely in their present period, and plan them.

    Args:
        settings: where the ledger and Lago are.
        batches: which, by their meter.
        decided_by: who decided so; kept.
        reason: why; kept.

    Raises:
        MeterChangedError: the key is one of another organization.
        LagoError: Lago is away or refuses us, or the key may not read subscriptions.
    """
    done = Moved()
    ledger = open_ledger(settings)
    lago = Lago(settings.lago_api_base, settings.read_key(), limits=settings.limits, rate=settings.rate)
    with closing(lago):
        told = lago.organization()
        organization = told.id if told else None
        for name, ids in batches.items():
            with ledger.transaction() as connection:
                meter = meters.load(connection, name)
            if meter is not None:
                Gate(meter, ledger, lago, Periods(meter, ledger, lago, "hold")).hold_to(organization, adopt=False)
                mirror = Mirror(ledger, lago, organization or meter.organization or "", datetime.now(UTC))
                _move(ledger, meter, mirror, ids, Part((), "planned", decided_by=decided_by, reason=reason), done)
    return done


def _move(ledger: Ledger, meter: Meter, mirror: Mirror, ids: Sequence[int], fate: Part, done: Moved) -> None:
    with ledger.transaction() as connection:
        values = {"meter": meter.name, "batches": ids}
        rows = execute(connection, "delivery/held_batches", values, args_row(_Some)).fetchall()
    stamps = {name: _stamp(mirror, name) for name in sorted({row.external_id for row in rows})}
    done.left |= {name for name, stamp in stamps.items() if stamp is None}
    for _, group in groupby(rows, key=lambda row: row.batch):
        some = list(group)
        moved = {place: stamp for row in some for place in row.places if (stamp := stamps[row.external_id])}
        if moved and _record(ledger, some[0], moved, fate):
            done.events += len(moved)


def _stamp(mirror: Mirror, external_id: str) -> str | None:
    """The first moment that is surely in the present period, as an event has it; None if there is none."""
    try:
        present = first_sure_moment(mirror.ask(external_id))
    except CantBeAskedError:
        return None
    return f"{present.timestamp():.3f}" if present else None


def _record(ledger: Ledger, batch: _Some, moved: dict[int, str], fate: Part) -> bool:
    """Move and plan these events of a batch, the rest stay held; say whether no pass was quicker."""
    stay = [place for place in range(batch.events) if place not in moved]
    rest = [Part(stay, "held", held_for=HELD_FOR, answer=batch.answer)] if stay else []
    goes = Part(list(moved), fate.state, decided_by=fate.decided_by, reason=fate.reason)
    with ledger.transaction() as connection:
        values = {"id": batch.batch, "attempt": batch.attempt, "state": "held", "events": batch.events}
        values |= {"places": list(moved), "stamps": list(moved.values())}
        if not execute(connection, "delivery/move_events", values).rowcount:
            return False
        return bool(split(connection, batch.batch, batch.attempt, "held", [*rest, goes]))
