"""Alarms: what a person should look at. One row a kind while it stands; acknowledged ones are quiet until they grow.

What kinds there are and what each says is in `kinds`.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, Row, bindparam, func, select, update

from reconciler.database.postgres import execute, server_clock
from reconciler.ledger import kinds, tables
from reconciler.ledger.balance import Balance, balance
from reconciler.ledger.kinds import INCIDENTS, OF_DELIVERY
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.kinds.delivery import BEHIND, behind
from reconciler.ledger.passes import Passes, Patience, passes
from reconciler.model.errors import UsageError
from reconciler.model.money import plain

table = tables.alarm

_OF = bindparam("of", type_=table.c.meter.type)
_STANDING = table.c.cleared_at.is_(None) & ((table.c.meter == _OF) | _OF.is_(None))
_LOCKED = select(table.c.kind).where(_STANDING).order_by(table.c.kind).with_for_update()
_CLEARED = (
    update(table)
    .where(_STANDING, table.c.kind.in_(bindparam("kinds", expanding=True)))
    .values(cleared_at=func.clock_timestamp())
)

_UNSAID = table.c.acknowledged_at.is_(None) & (table.c.shown_at.is_(None) | (table.c.shown_at < table.c.rang_at))
"""Whether nobody has said the alarm in full since it rang."""

_LISTED = select(table, _UNSAID.label("unsaid")).where(_STANDING).order_by(table.c.id)


def review(connection: Connection, meter: str, figures: Balance, gone: Passes, patience: Patience) -> None:
    """Raise, refresh and clear the alarms that follow from how the meter stands and how its passes have gone.

    In the order of kinds, as all that changes several alarms does: so passes which end at once can't lock each other
    out.
    """
    over = set(_locked(connection, meter)).difference(INCIDENTS, OF_DELIVERY)
    for alarm in sorted(kinds.of(figures, gone, patience), key=lambda alarm: alarm.kind):
        ring(connection, meter, alarm)
        over.discard(alarm.kind)
    if over:
        _clear(connection, meter, over)


def review_now(connection: Connection, meter: str, horizon: timedelta, patience: Patience) -> None:
    """The same for how the meter stands now, its unattributed usage over the horizon: for what a person has decided."""
    now = server_clock(connection)
    review(connection, meter, balance(connection, meter, now - horizon), passes(connection, meter), patience)


def see_behind(connection: Connection, meter: str, patience: Patience) -> None:
    """Ring if passes that don't work leave the meter behind; for a pass that could not even see how the meter stands.

    A meter that is not there yet has no alarms.
    """
    known = tables.meter.c
    watermark: datetime | None = connection.scalar(select(known.watermark).where(known.name == meter))
    if watermark is None:
        return
    figures, gone = balance(connection, meter, watermark), passes(connection, meter)
    for alarm in behind(figures, gone, patience, failing=BEHIND):
        ring(connection, meter, alarm)


def ring(connection: Connection, meter: str, alarm: Alarm) -> None:
    """Raise an alarm, or refresh the one that stands; if it has outgrown its acknowledgement it rings again."""
    values = {
        "meter": meter,
        "kind": alarm.kind,
        "message": alarm.message,
        "extent": alarm.extent,
        "cost": alarm.cost,
    }
    execute(connection, "ledger/ring", values)


def clear(connection: Connection, meter: str, kind: str) -> None:
    """End an alarm whose cause is gone."""
    _clear(connection, meter, [kind])


def _clear(connection: Connection, meter: str, over: Collection[str]) -> None:
    connection.execute(_CLEARED, {"of": meter, "kinds": list(over)})


def list_standing(connection: Connection, meter: str | None = None) -> list[Row[Any]]:
    """The alarms that stand, of one meter or of all, oldest first; `unsaid` tells which `show` would return."""
    return list(connection.execute(_LISTED, {"of": meter}))


def show(connection: Connection, meter: str) -> list[int]:
    """The alarms of a meter that nobody has said in full since they rang: whoever asks says them, once."""
    _locked(connection, meter)
    said = update(table).where(_STANDING, _UNSAID).values(shown_at=func.clock_timestamp())
    return list(connection.scalars(said.returning(table.c.id), {"of": meter}))


def claim(connection: Connection, meters: Sequence[str], *, lease: timedelta) -> Any | None:
    """Take an alarm that the operator's own command or webhook has to be told of, those never tried first, or None.

    Args:
        connection: the ledger's transaction.
        meters: whose alarms.
        lease: how long no other pass tells it.
    """
    return execute(
        connection, "ledger/claim_alarm", {"meters": list(meters), "lease": lease}, namedtuple_row
    ).fetchone()


def note_told(connection: Connection, alarm: Any) -> None:
    """Note that it was told what `claim` returned: if it has rung again since, it is to be told again."""
    which = table.c.told_at if alarm.cleared_at is None else table.c.over_told_at
    # Its own moment of ringing, not now: what rings after that is news.
    moment = alarm.rang_at if alarm.cleared_at is None else func.clock_timestamp()
    connection.execute(update(table).where(table.c.id == alarm.id).values({which: moment, table.c.telling_until: None}))


def acknowledge(connection: Connection, alarm_id: int, reason: str) -> Row[Any]:
    """Note that a person has looked; an incident ends with that, others stay in view.

    Args:
        connection: the ledger's transaction.
        alarm_id: as `list_standing` shows it.
        reason: why it may be quiet; kept.

    Raises:
        UsageError: no such alarm stands, or there is no reason.
    """
    if not reason.strip():
        raise UsageError("An acknowledgement needs a reason, such as --reason 'test data, cleaned up'.")
    row = connection.execute(
        update(table)
        .where(table.c.id == alarm_id, table.c.cleared_at.is_(None))
        .values(
            acknowledged_at=func.clock_timestamp(),
            least_extent=table.c.extent,
            least_cost=table.c.cost,
            reason=reason.strip(),
        )
        .returning(table)
    ).one_or_none()
    if row is None:
        raise UsageError(f"No alarm {alarm_id} stands; `reconcile alarm list` shows those that do.")
    if row.kind in INCIDENTS:
        clear(connection, row.meter, row.kind)
    return row


def _locked(connection: Connection, meter: str) -> Sequence[str]:
    """Lock the alarms of a meter that stand, in the order of kinds; return these."""
    return connection.scalars(_LOCKED, {"of": meter}).all()


def as_json(row: Row[Any]) -> dict[str, Any]:
    """An alarm as plain values."""
    return {
        "id": row.id,
        "meter": row.meter,
        "kind": row.kind,
        "message": row.message,
        "extent": plain(row.extent),
        "cost": plain(row.cost),
        "raised_at": f"{row.raised_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "acknowledged": row.acknowledged_at is not None,
        "reason": row.reason,
    }
