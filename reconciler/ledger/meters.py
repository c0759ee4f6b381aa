"""Meters as the ledger knows them: made once, then held to what they were billed with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from psycopg.errors import LockNotAvailable
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from reconciler.database.postgres import execute
from reconciler.ledger import tables
from reconciler.model import windows
from reconciler.model.errors import NoTurnError
from reconciler.model.terms import BEGINNING, Terms, Timeline


@dataclass(frozen=True)
class Meter:
    """One meter's state.

    Attributes:
        name: its name.
        start: windows from here on are in scope, besides those backfilled.
        start_chosen: whether a `--since` set the start.
        watermark: the end of the newest window that a fresh look has seen. Says where to look first, no more.
        purge_mark: the window that retention has come to, if any.
        source: where it reads: system identifier, database, schema.
        lago: where it sends.
        organization: Lago's own id of the organization that it sends to, None if Lago has not told it.
        timeline: by which terms.
        metric_seen: whether Lago is known to have a metric for the code of the latest.
    """

    name: str
    start: datetime
    start_chosen: bool
    watermark: datetime
    purge_mark: datetime | None
    source: dict[str, str]
    lago: str
    organization: str | None
    timeline: Timeline
    metric_seen: bool = False

    def is_ahead_of(self, now: datetime) -> bool:
        """Whether it starts, or has come, to where the clock has not."""
        return max(self.start, self.watermark, self.purge_mark or self.start) > now


def take_turn(connection: Connection, name: str, *, seconds: float) -> bool:
    """Take the meter's turn for this transaction: one pass at a time plans a chunk.

    The turn is the lock of the meter's row, so only who may write the ledger can hold it. Postgres serves those who
    wait in order, so a fresh look that waits goes before a backfill's next chunk.

    Args:
        connection: the ledger's transaction.
        name: the meter.
        seconds: how long to wait; it may be longer than a statement may take.

    Returns:
        Whether there is such a meter.

    Raises:
        NoTurnError: another pass had the turn all the time.
    """
    if execute(connection, "ledger/take_turn", {"meter": name}, skip_locked=sql.SQL("SKIP LOCKED")).rowcount:
        return True
    timeouts = select(func.current_setting("lock_timeout"), func.current_setting("statement_timeout"))
    before = connection.execute(timeouts).one()
    _set_timeouts(connection, f"{max(1, int(seconds * 1000))}ms", "0")
    try:
        found = execute(connection, "ledger/take_turn", {"meter": name}, skip_locked=sql.SQL("")).rowcount
    except LockNotAvailable as error:
        raise NoTurnError(f"another pass of meter {name!r} is running") from error
    _set_timeouts(connection, *before)
    return bool(found)


def _set_timeouts(connection: Connection, lock: str, statement: str) -> None:
    connection.execute(
        select(
            func.set_config("lock_timeout", lock, True),  # noqa: FBT003
            func.set_config("statement_timeout", statement, True),  # noqa: FBT003
        )
    )


def load(connection: Connection, name: str) -> Meter | None:
    """The meter of that name, None if the ledger has none."""
    rows = execute(connection, "ledger/meter", {"meter": name}, namedtuple_row).fetchall()
    if not rows:
        return None
    agreed = [(row.since.astimezone(UTC), _terms(row)) for row in rows]
    code, row = rows[-1].code, rows[0]
    return Meter(
        name=name,
        start=row.start.astimezone(UTC),
        start_chosen=row.start_chosen,
        watermark=row.watermark.astimezone(UTC),
        purge_mark=row.purge_mark.astimezone(UTC) if row.purge_mark else None,
        source=row.source,
        lago=row.lago,
        organization=row.organization,
        timeline=Timeline(agreed),
        metric_seen=any(each.metric_seen for each in rows if each.code == code),
    )


def _terms(row: Any) -> Terms:
    measures = row.model_column, row.cache_hits, tuple(row.exclude)
    return Terms(row.code, row.charge_by, row.window_seconds, *measures)


def create(
    connection: Connection,
    name: str,
    terms: Terms,
    *,
    start: datetime,
    chosen: bool,
    watermark: datetime,
    source: dict[str, str],
    lago: str,
) -> bool:
    """Make a meter that bills from the window `start` on, and take its turn.

    Args:
        connection: the ledger's transaction.
        name: its name.
        terms: by which it bills.
        start: in its first window.
        chosen: whether a `--since` says so.
        watermark: in the window where the first look begins.
        source: where it reads.
        lago: where it sends.

    Returns:
        False if another pass has made it meanwhile.
    """
    made = connection.execute(
        upsert(tables.meter)
        .values(
            name=name,
            start=windows.floor(start, terms.window),
            start_chosen=chosen,
            watermark=windows.floor(watermark, terms.window),
            source=source,
            lago=lago,
        )
        .on_conflict_do_nothing()
        .returning(tables.meter.c.name)
    ).one_or_none()
    if made is not None:
        agree(connection, name, terms, BEGINNING)
    return made is not None


def choose_start(connection: Connection, name: str, start: datetime, *, watermark: datetime) -> None:
    """Let a meter bill from `start` on, as a `--since` says."""
    table = tables.meter
    chosen = update(table).where(table.c.name == name)
    connection.execute(chosen.values(start=start, start_chosen=True, watermark=watermark))


def made_at(connection: Connection, name: str) -> datetime | None:
    """When the meter was made, by the ledger's clock; None if that is in the future, so that clock was wrong."""
    table = tables.meter.c
    made = connection.scalar(
        select(table.created_at).where(table.name == name, table.created_at <= func.clock_timestamp())
    )
    return made.astimezone(UTC) if made else None


def pull_back(connection: Connection, name: str, now: datetime, *, start: datetime, watermark: datetime) -> None:
    """Put a meter's start and watermark no later than said, and give up a purge mark in the future.

    A start that is pulled back is nobody's choice: the next `--since` sets it.
    """
    table = tables.meter
    connection.execute(
        update(table)
        .where(table.c.name == name)
        .values(
            start=func.least(table.c.start, start),
            start_chosen=table.c.start_chosen & (table.c.start <= start),
            watermark=func.least(table.c.watermark, watermark),
            purge_mark=case((table.c.purge_mark <= now, table.c.purge_mark)),
        )
    )


def agree(connection: Connection, name: str, terms: Terms, since: datetime) -> None:
    """Let terms hold from a moment on; what was agreed from the same moment has not begun and is replaced."""
    agreed = {
        "code": terms.code,
        "charge_by": terms.charge_by,
        "window_seconds": terms.window_seconds,
        "model_column": terms.model_column,
        "cache_hits": terms.cache_hits,
        "exclude": list(terms.exclude),
    }
    table = tables.terms
    connection.execute(
        upsert(table)
        .values(meter=name, since=since, **agreed)
        .on_conflict_do_update(index_elements=[table.c.meter, table.c.since], set_=agreed)
    )


def forget_metrics(connection: Connection, name: str) -> None:
    """Note that it is not known which metrics Lago has: the meter sends to another organization."""
    table = tables.terms
    connection.execute(update(table).where(table.c.meter == name).values(metric_seen=False))


def see_metric(connection: Connection, name: str, code: str) -> None:
    """Note that Lago has a metric for a meter's code."""
    table = tables.terms
    terms_of_code = (table.c.meter == name) & (table.c.code == code)
    connection.execute(update(table).where(terms_of_code).values(metric_seen=True))
