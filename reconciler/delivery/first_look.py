"""Look before sending: ask Lago what it holds of a window before this ledger delivers for it the first time.

Events of this meter that the ledger has not sent, and would not send as they are, mean that the ledger was lost or
restored, or that there is a second one: to go on would bill twice. Invariant 11.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, select, update

from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.delivery.foreign import Foreign
from reconciler.lago.client import Lago
from reconciler.lago.readback import timestamp_of
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError

NEAR = timedelta(days=1)
"""Windows closer than this are asked about in one go."""

_MILLISECOND = timedelta(milliseconds=1)


class UnknownEventsError(ReconcileError):
    """Lago holds events of this meter that are not from its ledger. Exit code 3: a person has to look."""

    exit_code = 3

    def __init__(self, sentence: str, count: int) -> None:
        """Say what was found and the choices, and of how many events."""
        self.count = count
        super().__init__(sentence)


def ask_first(meter: Meter, ledger: Ledger, lago: Lago, *, horizon: timedelta) -> None:
    """Ask Lago about all windows with events to send that it was never asked about.

    Before the first of them, a meter whose start nobody chose asks whether Lago knows it from before that start.

    Args:
        meter: its state.
        ledger: its ledger.
        lago: where it sends.
        horizon: how long before its start.

    Raises:
        UnknownEventsError: it holds events of this meter that the ledger does not have, or is about to send otherwise.
        LagoError: Lago is away or refuses us.
    """
    with ledger.transaction() as connection:
        rows = cursor(connection).execute(statement("delivery/unasked_windows"), {"meter": meter.name}).fetchall()
        begins = bool(rows) and not meter.start_chosen and not _has_asked(connection, meter.name)
    foreign = Foreign(meter.name, ledger, lago)
    if begins:
        _ask_before_start(meter, foreign, lago, horizon)
    starts = [start.astimezone(UTC) for (start,) in rows if isinstance(start, datetime)]
    for group in _near(starts):
        last = meter.timeline.window_end(group[-1]) - _MILLISECOND
        for code in sorted({meter.timeline.at(start).code for start in group}):
            for page in lago.events(code, group[0], last):
                if found := foreign.among(page):
                    raise UnknownEventsError(_not_ours(meter, found), len(found))
        _asked(ledger, meter.name, group)


def _ask_before_start(meter: Meter, foreign: Foreign, lago: Lago, horizon: timedelta) -> None:
    """Ask for the latest events before the start; one page of them tells a ledger that stayed behind."""
    code = meter.timeline.at(meter.start).code
    page = next(lago.events(code, meter.start - horizon, meter.start - _MILLISECOND), [])
    if found := foreign.among(page):
        raise UnknownEventsError(_left_behind(meter, found), len(found))


def _not_ours(meter: Meter, found: list[dict[str, Any]]) -> str:
    return (
        f"Lago holds {len(found)} or more events of meter {meter.name!r} that this ledger does not know or plans "
        f"otherwise, such as {_named(found[0])}: the ledger was lost or restored from a backup, or another ledger or "
        "proxy bills under this name. Nothing more is sent for this meter. Choose: point RECONCILE_LEDGER_URL at the "
        "newest ledger; or, if this is another proxy, give it its own RECONCILE_METER."
    )


def _left_behind(meter: Meter, found: list[dict[str, Any]]) -> str:
    ends = [moment.astimezone(UTC) + _MILLISECOND for event in found if (moment := timestamp_of(event))]
    since = max(ends, default=meter.start)
    return (
        f"Lago holds {len(found)} or more events of meter {meter.name!r} from before {meter.start:%Y-%m-%d %H:%M} "
        f"UTC, where this ledger begins, such as {_named(found[0])}: its ledger was lost or left behind when the "
        "database moved, or another proxy bills under this name. Nothing is sent for this meter. Choose: bring the "
        "ledger back (restore the schema reconciler, or point RECONCILE_LEDGER_URL at it); bill from where it ended "
        f"with `reconcile --since {since:%Y-%m-%dT%H:%M}`; or, if this is other usage, give it its own "
        "RECONCILE_METER."
    )


def _named(event: dict[str, Any]) -> str:
    return f"{event['transaction_id']} of window {event['properties'].get('window')}"


def _has_asked(connection: Connection, meter: str) -> bool:
    table = tables.window.c
    return bool(connection.scalar(select(exists().where(table.meter == meter, table.asked_at.is_not(None)))))


def _asked(ledger: Ledger, meter: str, starts: list[datetime]) -> None:
    table = tables.window
    with ledger.transaction() as connection:
        connection.execute(
            update(table)
            .where(table.c.meter == meter, table.c.start.in_(select(func.unnest(starts))))
            .values(asked_at=func.clock_timestamp())
        )


def _near(starts: list[datetime]) -> Iterator[list[datetime]]:
    group: list[datetime] = []
    for start in starts:
        if group and start - group[-1] > NEAR:
            yield group
            group = []
        group.append(start)
    if group:
        yield group
