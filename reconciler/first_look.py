"""Look before sending: ask Lago what it holds of a window before this ledger delivers for it the first time.

Events of this meter that the ledger does not know mean that the ledger was lost or restored, or that there is a
second one: to go on would bill twice. Invariant 11.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from reconciler.errors import ReconcileError
from reconciler.identity import PREFIX, bucket_hash
from reconciler.lago import Lago
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.postgres import cursor
from reconciler.statements import statement

NEAR = timedelta(days=1)
"""Windows closer than this are asked about in one go."""


class UnknownEventsError(ReconcileError):
    """Lago holds events of this meter that the ledger does not know. Exit code 3: a person has to look."""

    exit_code = 3

    def __init__(self, meter: str, ids: list[str], window: str) -> None:
        """Name the meter, some ids, and the window of the first."""
        self.count = len(ids)
        super().__init__(
            f"Lago holds {len(ids)} or more events of meter {meter!r} that this ledger does not know, such as {ids[0]} "
            f"of window {window}: the ledger was lost or restored from a backup, or another ledger or proxy bills "
            "under this name. Nothing more is sent for this meter. Choose: point RECONCILE_LEDGER_URL at the newest "
            "ledger; or, if this is another proxy, give it its own RECONCILE_METER."
        )


def ask_first(meter: Meter, ledger: Ledger, lago: Lago) -> None:
    """Ask Lago about all windows with events to send that it was never asked about.

    Raises:
        UnknownEventsError: it holds events of this meter that the ledger does not have.
        LagoError: Lago is away or refuses us.
    """
    with ledger.transaction() as connection:
        rows = cursor(connection).execute(statement("unasked_windows"), {"meter": meter.name}).fetchall()
    starts = [start.astimezone(UTC) for (start,) in rows if isinstance(start, datetime)]
    for group in _near(starts):
        terms = meter.timeline.at(group[-1])
        last = group[-1] + terms.window - timedelta(milliseconds=1)
        for code in sorted({meter.timeline.at(start).code for start in group}):
            for page in lago.events(code, group[0], last):
                with ledger.transaction() as connection:
                    _check(connection, meter, page)
        _asked(ledger, meter.name, group)


def _check(connection: Connection, meter: Meter, page: list[dict[str, Any]]) -> None:
    ours = [
        event
        for event in page
        if str(event.get("transaction_id", "")).startswith(PREFIX)
        and isinstance(event.get("properties"), dict)
        and event["properties"].get("meter") == meter.name
    ]
    readable = [event for event in ours if _key(event) is not None]
    keys = [key for event in readable if (key := _key(event)) is not None]
    values = {
        "meter": meter.name,
        "window_starts": [start for start, _, _ in keys],
        "buckets": [bucket for _, bucket, _ in keys],
        "revisions": [revision for _, _, revision in keys],
        "ids": [event["transaction_id"] for event in readable],
        "subscriptions": [event.get("external_subscription_id") for event in readable],
    }
    unknown = {str(row[0]) for row in cursor(connection).execute(statement("unknown_events"), values).fetchall()}
    unknown |= {event["transaction_id"] for event in ours if _key(event) is None}
    if unknown:
        first = next(event for event in ours if event["transaction_id"] in unknown)
        ids = [event["transaction_id"] for event in ours if event["transaction_id"] in unknown]
        raise UnknownEventsError(meter.name, ids, str(first["properties"].get("window")))


def _key(event: dict[str, Any]) -> tuple[datetime, bytes, int] | None:
    """The ledger's key of an event as its properties say it; None if they don't say it."""
    properties = event["properties"]
    try:
        start = datetime.fromisoformat(str(properties["window"]).partition("/")[0])
        bucket = bucket_hash(properties["customer"], properties["model"])
        return start, bucket, int(properties["revision"])
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


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
