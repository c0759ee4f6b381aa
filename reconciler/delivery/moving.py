"""Held events, moved to the present period on a person's word: the next pass sends them there. Design, section 7."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace
from psycopg.rows import args_row

from reconciler.database.postgres import execute
from reconciler.delivery.ask_first import refuse_moved_before
from reconciler.delivery.gate import hold_to
from reconciler.delivery.mirror import Mirror
from reconciler.delivery.spans import first_sure_stamp
from reconciler.lago.client import Lago
from reconciler.lago.sentences import CantBeAskedError
from reconciler.ledger import meters
from reconciler.ledger.batches import CLOSED_PERIOD, Part, Seen, State
from reconciler.ledger.outbox import split_off
from reconciler.ledger.store import open_ledger
from reconciler.settings.load import Settings


class _Some(NamedTuple):
    """Events of a held batch that are of one subscription."""

    id: int
    attempt: int
    state: State
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
        UnknownEventsError: Lago holds one of them: the ledger was lost or restored.
        LagoError: Lago is away or refuses us, or the key may not read subscriptions.
    """
    done = Moved()
    ledger = open_ledger(settings)
    with closing(Lago.of(settings)) as lago:
        told = lago.organization()
        organization, refuses_ids = told.id if told else None, lago.store(told) == "postgres"
        for name, ids in batches.items():
            with ledger.transaction() as connection:
                meter = meters.load(connection, name)
            if meter is not None:
                meter = hold_to(meter, ledger, organization, adopt=False)
                mirror = Mirror(meter, ledger, lago, organization, datetime.now(UTC))
                fate = Part((), "planned", decided_by=decided_by, reason=reason)
                _move(mirror, ids, fate, done, refuses_ids=refuses_ids)
    return done


def _move(mirror: Mirror, ids: Sequence[int], fate: Part, done: Moved, *, refuses_ids: bool) -> None:
    ledger, meter = mirror.ledger, mirror.meter
    with ledger.transaction() as connection:
        values = {"meter": meter.name, "batches": ids}
        rows = execute(connection, "delivery/held_batches", values, args_row(_Some)).fetchall()
    stamps = {name: _stamp(mirror, name) for name in sorted({row.external_id for row in rows})}
    done.left |= {name for name, stamp in stamps.items() if stamp is None}
    for _, group in groupby(rows, key=lambda row: row.id):
        some = list(group)
        moved = {place: stamp for row in some for place in row.places if (stamp := stamps[row.external_id])}
        seen, stays = Seen(*some[0][:4]), Part((), "held", held_for=CLOSED_PERIOD, answer=some[0].answer)
        if moved and not refuses_ids:
            refuse_moved_before(meter, ledger, mirror.lago, seen.id, moved)
        with ledger.transaction() as connection:
            goes = [replace(fate, places=list(moved))]
            if moved and split_off(connection, seen, goes, stays=stays, moved=moved):
                done.events += len(moved)


def _stamp(mirror: Mirror, external_id: str) -> str | None:
    try:
        return first_sure_stamp(mirror.ask(external_id))
    except CantBeAskedError:
        return None
