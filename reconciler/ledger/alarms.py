"""Alarms: what a person should look at. One row a kind while it stands; acknowledged ones are quiet until they grow.

Most follow from how the meter stands and clear themselves. Incidents are things that happened: they stay until a
person acknowledges them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from reconciler.database.postgres import execute
from reconciler.ledger import tables
from reconciler.ledger.balance import Balance
from reconciler.model.errors import UsageError
from reconciler.model.money import total

INCIDENTS = ("overtaken", "clock")

BEHIND = timedelta(hours=1)
"""What is planned and Lago has not had for so long needs a person's look: passes alone don't get it there."""

table = tables.alarm


@dataclass(frozen=True)
class Alarm:
    """Something that a person should look at.

    Attributes:
        kind: one word.
        message: one sentence that says what it is and what to do.
        extent: how much of it there is; more than was acknowledged rings again.
    """

    kind: str
    message: str
    extent: Decimal


def of(balance: Balance) -> Iterator[Alarm]:
    """The alarms that follow from how a meter stands."""
    if count := balance.quarantined_events - balance.conflicting_events:
        yield Alarm(
            "quarantined",
            f"Lago refuses {count} events for good ({balance.quarantined_cost} USD with those in conflict): "
            "`reconcile quarantine` says why.",
            Decimal(count),
        )
    if count := balance.conflicting_events:
        yield Alarm(
            "conflict",
            f"Lago holds other events under the ids of {count} of ours: another ledger or proxy bills under this "
            "meter's name. Their buckets send nothing more.",
            Decimal(count),
        )
    if balance.planned_since is not None and balance.planned_for is not None and balance.planned_for > BEHIND:
        yield Alarm("behind", _behind(balance, balance.planned_since), Decimal(balance.planned_events))
    if count := balance.held_events:
        yield Alarm("held", _held(balance), Decimal(count))
    if count := balance.frozen_buckets:
        yield Alarm(
            "frozen",
            f"{count} buckets hold less in the source than was billed ({balance.frozen_cost} USD less): rows were "
            "deleted or lowered. Nothing is credited by itself.",
            Decimal(count),
        )
    if count := balance.unmapped_buckets:
        yield Alarm(
            "unmapped",
            f"RECONCILE_MAPPING lacks the customers of {count} buckets ({balance.unmapped_cost} USD), the oldest of "
            f"{balance.unmapped_since:%Y-%m-%d %H:%M} UTC: add them, and the next daily look bills them. Windows "
            "older than RECONCILE_HORIZON need a `reconcile --since` then; what retention has reached stays unbilled.",
            Decimal(count),
        )
    if count := balance.suspect_rows:
        yield Alarm(
            "suspect",
            f"{count} rows have negative, NaN or infinite spend or negative tokens: they are not billed.",
            Decimal(count),
        )
    if balance.purge_mark is not None:
        yield Alarm(
            "purged",
            f"Retention has deleted spend rows up to {balance.purge_mark:%Y-%m-%d %H:%M} UTC: windows up to there are "
            "no longer compared.",
            Decimal(1),
        )
    if balance.late_rows or balance.late_cost:
        yield Alarm(
            "late",
            f"{balance.late_rows} rows ({balance.late_cost} USD), or more, arrived in windows that retention has "
            "reached: they are not billed.",
            total([Decimal(balance.late_rows), balance.late_cost]),  # either may grow alone
        )
    if balance.silent:
        yield Alarm(
            "silent",
            "The spend table has had no rows for three hours, where the same hours of last week had some: does the "
            "proxy write to this database?",
            Decimal(1),
        )


def _behind(balance: Balance, since: datetime) -> str:
    why = f"at last: {balance.planned_failure}" if balance.planned_failure else "none was tried in vain"
    return (
        f"{balance.planned_events} events ({balance.planned_cost} USD) wait to be delivered, the oldest since "
        f"{since.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({why}). Nothing is lost. If Lago refuses or throttles us, mend "
        "that there; if there is more than passes can send, run them more often, or raise RECONCILE_DEADLINE or "
        "RECONCILE_CONNECTIONS."
    )


def _held(balance: Balance) -> str:
    pairs = zip(balance.held_subscriptions, balance.held_costs, strict=True)
    whose = ", ".join(f"{name} ({cost} USD)" for name, cost in pairs)
    why = balance.held_answer or "an earlier event of their bucket is in conflict"
    return (
        f"{balance.held_events} events are held back ({balance.held_cost} USD), most of them of {whose}. Why: {why}. "
        "docs/operations.md says how to have them billed."
    )


def overtaken(mark: datetime, watermark: datetime) -> Alarm:
    """The incident that retention has come to where no pass had looked."""
    return Alarm(
        "overtaken",
        f"Retention has come to the window of {mark:%Y-%m-%d %H:%M} UTC before it was billed: passes had come to "
        f"{watermark:%Y-%m-%d %H:%M} UTC only. What is deleted from there on can't be billed, what is left up to that "
        "window's end is not billed (the alarm `late` says how much it is). Run passes more often, or let retention "
        "keep rows longer.",
        Decimal(1),
    )


def review(connection: Connection, meter: str, balance: Balance) -> None:
    """Raise, refresh and clear the alarms that follow from how the meter stands.

    In the order of kinds, so that passes which end at once can't lock each other out.
    """
    standing = (table.c.meter == meter) & table.c.cleared_at.is_(None)
    connection.execute(select(table.c.kind).where(standing).order_by(table.c.kind).with_for_update())
    standing_alarms = sorted(of(balance), key=lambda alarm: alarm.kind)
    for alarm in standing_alarms:
        ring(connection, meter, alarm)
    kinds = [alarm.kind for alarm in standing_alarms]
    connection.execute(
        update(table)
        .where(standing, table.c.kind.not_in([*kinds, *INCIDENTS, "foreign"]))
        .values(cleared_at=func.clock_timestamp())
    )


def ring(connection: Connection, meter: str, alarm: Alarm) -> None:
    """Raise an alarm, or refresh the one that stands; if it has outgrown its acknowledgement it rings again."""
    values = {"meter": meter, "kind": alarm.kind, "message": alarm.message, "extent": alarm.extent}
    execute(connection, "ledger/ring", values)


def clear(connection: Connection, meter: str, kind: str) -> None:
    """End an alarm whose cause is gone."""
    connection.execute(
        update(table)
        .where(table.c.meter == meter, table.c.kind == kind, table.c.cleared_at.is_(None))
        .values(cleared_at=func.clock_timestamp())
    )


def list_standing(connection: Connection, meter: str | None = None) -> list[Row[Any]]:
    """The alarms that stand, of one meter or of all, oldest first."""
    query = select(table).where(table.c.cleared_at.is_(None)).order_by(table.c.id)
    if meter is not None:
        query = query.where(table.c.meter == meter)
    return list(connection.execute(query))


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
            acknowledged_extent=table.c.extent,
            reason=reason.strip(),
        )
        .returning(table)
    ).one_or_none()
    if row is None:
        raise UsageError(f"No alarm {alarm_id} stands; `reconcile alarm list` shows those that do.")
    if row.kind in INCIDENTS:
        clear(connection, row.meter, row.kind)
    return row


def as_json(row: Row[Any]) -> dict[str, Any]:
    """An alarm as plain values."""
    return {
        "id": row.id,
        "meter": row.meter,
        "kind": row.kind,
        "message": row.message,
        "raised_at": f"{row.raised_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "acknowledged": row.acknowledged_at is not None,
        "reason": row.reason,
    }
