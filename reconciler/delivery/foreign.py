"""What a person is told of events of a meter that Lago holds and its ledger does not know."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import func, select

from reconciler.lago.reading import MILLISECOND
from reconciler.lago.shown import key_of, timestamp_of
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError


class UnknownEventsError(ReconcileError):
    """Lago holds events of this meter that are not from its ledger. Exit code 3: a person has to look."""

    exit_code = 3

    def __init__(self, sentence: str, count: int) -> None:
        """Say what was found and the choices, and of how many events."""
        self.count = count
        super().__init__(sentence)


class MetAnotherError(Exception):
    """Under the id of an event that was never sent, Lago holds another of the same meter."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        """Show the one that Lago holds."""
        self.event = event
        super().__init__(event.get("transaction_id"))


def not_ours(meter: Meter, ledger: Ledger, found: Sequence[Mapping[str, Any]]) -> UnknownEventsError:
    """What is said of events that the ledger does not know or plans otherwise; at least one."""
    with ledger.transaction() as connection:
        window = tables.window.c
        first = connection.scalar(select(func.min(window.start)).where(window.meter == meter.name))
    windows = [key[0] for event in found if (key := key_of(event))]
    since = min(moment.astimezone(UTC) for moment in (meter.start, first or meter.start, *windows))
    return UnknownEventsError(
        f"Lago holds {len(found)} or more events of meter {meter.name!r} that this ledger does not know or plans "
        f"otherwise, such as {_named(found[0])}: the ledger was lost or restored from a backup, or another ledger or "
        "proxy bills under this name. Nothing more is sent for this meter. Choose: point RECONCILE_LEDGER_URL at the "
        f"newest ledger; if there is none, run `reconcile rebuild --since {since:%Y-%m-%dT%H:%M}`, which takes "
        "them into this one; or, if this is another proxy, give it its own RECONCILE_METER and run `reconcile --adopt` "
        "once.",
        len(found),
    )


def left_behind(meter: Meter, found: Sequence[Mapping[str, Any]]) -> UnknownEventsError:
    """What is said of events from before a ledger began by itself; at least one."""
    ends = [moment.astimezone(UTC) + MILLISECOND for event in found if (moment := timestamp_of(event))]
    since = max(ends, default=meter.start)
    return UnknownEventsError(
        f"Lago holds {len(found)} or more events of meter {meter.name!r} from before {meter.start:%Y-%m-%d %H:%M} "
        f"UTC, where this ledger begins, such as {_named(found[0])}: its ledger was lost or left behind when the "
        "database moved, or another proxy bills under this name. Nothing is sent for this meter. Choose: bring the "
        "ledger back (restore the schema reconciler, or point RECONCILE_LEDGER_URL at it); make it anew from Lago's "
        "events: `reconcile rebuild --since` the day on which billing began; bill from where it ended "
        f"with `reconcile --since {since:%Y-%m-%dT%H:%M}`; or, if this is other usage, give it its own "
        "RECONCILE_METER and run `reconcile --adopt` once.",
        len(found),
    )


def _named(event: Mapping[str, Any]) -> str:
    return f"{event['transaction_id']} of window {event['properties'].get('window')}"
