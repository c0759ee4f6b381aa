"""What `reconcile status` tells: how far each meter has come, what is on its way, what is stuck."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, Row, select

from reconciler.database.postgres import execute
from reconciler.ledger import alarms, lagos, meters, schema, tables
from reconciler.ledger.balance import Balance, balance
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.kinds.delivery import behind as behind_alarm
from reconciler.ledger.lagos import KnownLago
from reconciler.ledger.meters import Meter
from reconciler.ledger.passes import Patience, passes
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LedgerError
from reconciler.model.money import plain, total
from reconciler.report.summary import iso
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings

DAYS = 7


@dataclass(frozen=True)
class Status:
    """How one meter stands.

    Attributes:
        meter: its state.
        lago: what is known of the Lago it sends to, None if it was never asked.
        now: the ledger's clock.
        balance: what is planned, stuck or can't be billed.
        accepted_events: events of the last seven days that Lago has.
        accepted_cost: their cost, USD.
        days: usage billed per day, newest first: day, events, input and output tokens, cost.
        runs: the last runs, newest first.
        alarms: those that stand, as plain values; `behind` as it is now, whether a pass has rung it or not.
        behind: whether passes do not do their work, or do not get to deliver.
        stalled: since when passes begin and do not finish, for longer than three intervals and than one may send.
    """

    meter: Meter
    lago: KnownLago | None
    now: datetime
    balance: Balance
    accepted_events: int
    accepted_cost: Decimal
    days: list[Any]
    runs: list[Row[Any]]
    alarms: list[dict[str, Any]]
    behind: bool
    stalled: datetime | None

    @property
    def lag(self) -> timedelta:
        """How far the watermark is behind the clock."""
        return self.now - self.meter.watermark

    @property
    def exit_code(self) -> int:
        """1 if passes do not do their work, 3 if a person should look, else 0."""
        if self.behind:
            return 1
        return 3 if any(not alarm["acknowledged"] for alarm in self.alarms) else 0

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC, money as decimal text in USD."""
        now = self.balance
        return {
            "meter": self.meter.name,
            "start": iso(self.meter.start),
            "watermark": iso(self.meter.watermark),
            "lag_seconds": round(self.lag.total_seconds()),
            "purge_mark": iso(self.meter.purge_mark),
            "source": self.meter.source,
            "lago": self.meter.lago,
            "lago_store": self.lago.store if self.lago else None,
            "lago_away_since": iso(self.lago.away_since) if self.lago else None,
            "events_planned": now.planned_events,
            "cost_planned": plain(now.planned_cost),
            "events_accepted": self.accepted_events,
            "cost_accepted": plain(self.accepted_cost),
            "events_quarantined": now.quarantined_events,
            "cost_quarantined": plain(now.quarantined_cost),
            "events_in_conflict": now.conflicting_events,
            "events_held": now.held_events,
            "cost_held": plain(now.held_cost),
            "events_discarded": now.discarded_events,
            "cost_discarded": plain(now.discarded_cost),
            "frozen_buckets": now.frozen_buckets,
            "cost_frozen": plain(now.frozen_cost),
            "credited_buckets": now.credited_buckets,
            "cost_credited": plain(now.credited_cost),
            "requests_taken_over": now.taken_over_requests,
            "cost_taken_over": plain(now.taken_over_cost),
            "unmapped_buckets": now.unmapped_buckets,
            "cost_unmapped": plain(now.unmapped_cost),
            "events_unsubscribed": now.unsubscribed_events,
            "cost_unsubscribed": plain(now.unsubscribed_cost),
            "unattributed_rows": now.unattributed_rows,
            "unattributed_cost": plain(now.unattributed_cost),
            "suspect_rows": now.suspect_rows,
            "late_rows": now.late_rows,
            "cost_late": plain(now.late_cost),
            "stalled_since": iso(self.stalled),
            "days": [
                {
                    "day": row.day.isoformat(),
                    "events": row.events,
                    "input_tokens": int(row.input_tokens),
                    "output_tokens": int(row.output_tokens),
                    "cost": plain(row.cost),
                }
                for row in self.days
            ],
            "runs": [
                {
                    "run_id": row.id,
                    "started_at": iso(row.started_at),
                    "finished_at": iso(row.finished_at),
                    "outcome": row.outcome,
                }
                for row in self.runs
            ],
            "alarms": self.alarms,
        }


def read_status(settings: Settings, only: str | None = None) -> list[Status]:
    """How every meter in the ledger stands, or the one named.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
    """
    ledger = open_ledger(settings)
    with ledger.transaction() as connection:
        require_ledger(connection)
        chosen = meter_names(connection, only)
        names = chosen if only is None else meter_names(connection)
        described = {each.name for each in settings.meters}
        # Of a meter that was given up no passes are expected; a machine without a meter's settings knows of none.
        expected = described if described & set(names) else set(names)
        return [_status(connection, name, settings, expected=name in expected or name == only) for name in chosen]


def exit_code(statuses: Iterable[Status]) -> int:
    """The first that applies: 1 passes do not do their work, 3 a person should look, 0."""
    codes = {status.exit_code for status in statuses}
    return next((code for code in (1, 3) if code in codes), 0)


def _status(connection: Connection, name: str, settings: Settings, *, expected: bool) -> Status:
    meter = meters.load(connection, name)
    assert meter is not None
    gone, patience = passes(connection, name), Patience.of(settings)
    now = gone.now
    today = datetime.combine(now.astimezone(UTC), datetime.min.time(), UTC)
    values = {"meter": name, "since": today - timedelta(days=DAYS - 1)}
    days = execute(connection, "report/days", values, namedtuple_row).fetchall()
    table = tables.run
    runs = connection.execute(
        select(table).where(table.c.meter == name).order_by(table.c.started_at.desc()).limit(5)
    ).all()
    figures = balance(connection, name, now - settings.horizon)
    behind = next(behind_alarm(figures, gone, patience), None) if expected else None
    return Status(
        meter=meter,
        lago=lagos.load(connection, meter.lago),
        now=now,
        balance=figures,
        accepted_events=sum(row.accepted for row in days),
        accepted_cost=total(row.accepted_cost for row in days),
        days=list(days),
        runs=list(runs),
        alarms=_alarms(connection, name, behind),
        behind=behind is not None,
        stalled=gone.stalled(patience) if expected else None,
    )


def _alarms(connection: Connection, name: str, behind: Alarm | None) -> list[dict[str, Any]]:
    """The alarms that stand; where passes do not happen, none of them could ring `behind`, so that it has no number."""
    standing = [alarms.as_json(row) for row in alarms.list_standing(connection, name)]
    if behind is None:
        return standing
    words: dict[str, Any] = {"message": behind.message, "extent": plain(behind.extent), "cost": plain(behind.cost)}
    for alarm in standing:
        if alarm["kind"] == behind.kind:
            alarm.update(words)
            return standing
    unnumbered = {
        "id": None,
        "meter": name,
        "kind": behind.kind,
        "raised_at": None,
        "acknowledged": False,
        "reason": None,
    }
    return [*standing, unnumbered | words]


def read_alarms(settings: Settings, meter: str | None = None) -> list[dict[str, Any]]:
    """The alarms that stand, of one meter or of all, as plain values.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
    """
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        meter_names(connection, meter)
        return [alarms.as_json(row) for row in alarms.list_standing(connection, meter)]


def acknowledge(settings: Settings, alarm_id: int, reason: str) -> str:
    """Note that a person has looked at an alarm; return the sentence that says so.

    Raises:
        LedgerError: there is no ledger yet.
        UsageError: no such alarm stands, or there is no reason.
    """
    with open_ledger(settings).transaction() as connection:
        require_ledger(connection)
        row = alarms.acknowledge(connection, alarm_id, reason)
    return f"Alarm {row.id} ({row.kind}) of meter {row.meter} is acknowledged: {row.reason}"


def require_ledger(connection: Connection) -> None:
    """Raise `LedgerError` unless there is a ledger that this program can read."""
    version = schema.version(connection)
    if version is None:
        raise LedgerError("There is no ledger yet: run `reconcile` once, or `reconcile ledger upgrade`.")
    if version < schema.HEAD:
        raise LedgerError(
            f"The ledger is at version {version}, this program needs {schema.HEAD}: run `reconcile` once, or "
            "`reconcile ledger upgrade`."
        )
    schema.refuse_newer(version)


def meter_names(connection: Connection, only: str | None = None) -> list[str]:
    """The names of the ledger's meters, or the one that was asked for.

    Raises:
        LedgerError: the ledger has no such meter.
    """
    names = list(connection.scalars(select(tables.meter.c.name).order_by(tables.meter.c.name)))
    if only is None:
        return names
    if only not in names:
        raise LedgerError(
            f"The ledger has no meter {only!r}; it has {', '.join(names) or 'none yet: run `reconcile` once'}."
        )
    return [only]


def known_meters(connection: Connection, settings: Settings) -> list[tuple[MeterSettings, Meter]]:
    """The meters of the settings that the ledger has: what they are to be, and what they are.

    Raises:
        LedgerError: the ledger has none of them.
    """
    both = [(wanted, meters.load(connection, wanted.name)) for wanted in settings.meters]
    found = [(wanted, meter) for wanted, meter in both if meter is not None]
    if not found:
        meter_names(connection, settings.meters[0].name)
    return found
