"""Meters as the ledger knows them: made once, then held to what they were billed with."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, exists, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from reconciler.ledger import tables
from reconciler.model import windows
from reconciler.model.errors import MeterChangedError
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
        timeline: by which terms.
    """

    name: str
    start: datetime
    start_chosen: bool
    watermark: datetime
    purge_mark: datetime | None
    source: dict[str, str]
    lago: str
    timeline: Timeline


def lock(connection: Connection, name: str, *, wait_seconds: float | None) -> bool:
    """Take the meter's turn for this transaction: one pass at a time plans a chunk.

    Postgres serves waiters in order, so a fresh look that waits goes before a backfill's next chunk.

    Args:
        connection: the ledger's transaction.
        name: the meter.
        wait_seconds: how long to wait for it; None does not wait.

    Returns:
        Whether this transaction holds the turn.
    """
    key = {"key": f"reconciler: meter {name}"}
    free = connection.scalar(text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))"), key)
    if free or wait_seconds is None:
        return bool(free)
    # A turn may be waited for longer than a statement may take; on False the savepoint restores both settings.
    statement_timeout = connection.scalar(text("SELECT current_setting('statement_timeout')"))
    with connection.begin_nested() as attempt:
        connection.execute(
            text("SELECT set_config('lock_timeout', :timeout, true), set_config('statement_timeout', '0', true)"),
            {"timeout": f"{max(1, int(wait_seconds * 1000))}ms"},
        )
        try:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), key)
        except Exception as error:
            if getattr(getattr(error, "orig", None), "sqlstate", None) != "55P03":
                raise
            attempt.rollback()
            return False
    connection.execute(
        text("SELECT set_config('lock_timeout', '0', true), set_config('statement_timeout', :before, true)"),
        {"before": statement_timeout},
    )
    return True


def load(connection: Connection, name: str) -> Meter | None:
    """The meter of that name, None if the ledger has none."""
    row = connection.execute(select(tables.meter).where(tables.meter.c.name == name)).one_or_none()
    if row is None:
        return None
    return Meter(
        name=name,
        start=row.start.astimezone(UTC),
        start_chosen=row.start_chosen,
        watermark=row.watermark.astimezone(UTC),
        purge_mark=row.purge_mark.astimezone(UTC) if row.purge_mark else None,
        source=dict(row.source),
        lago=row.lago,
        timeline=_timeline(connection, name),
    )


def create(
    connection: Connection,
    name: str,
    terms: Terms,
    *,
    start: datetime,
    chosen: bool,
    source: dict[str, str],
    lago: str,
    adopt: bool,
) -> None:
    """Make a meter that bills from the window `start` on.

    Args:
        connection: the ledger's transaction, which holds the meter's turn.
        name: its name.
        terms: by which it bills.
        start: in its first window.
        chosen: whether a `--since` says so.
        source: where it reads.
        lago: where it sends.
        adopt: whether the operator means it, should another meter bill the same usage.

    Raises:
        MeterChangedError: another meter does; says the choices.
    """
    if not adopt and (twin := _twin(connection, terms, source, lago)):
        raise MeterChangedError(
            f"Meter {name!r} is new and would bill what meter {twin!r} bills already, from the same database to the "
            f"same event code, so all of it twice. Nothing was done. Choose: use RECONCILE_METER={twin}; give this "
            "meter another LAGO_API_EVENT_CODE; or, if that is meant, run `reconcile --adopt` once."
        )
    start = windows.floor(start, terms.window)
    connection.execute(
        insert(tables.meter).values(
            name=name, start=start, start_chosen=chosen, watermark=start, source=source, lago=lago
        )
    )
    _agree(connection, name, terms, BEGINNING)


def hold_to(
    connection: Connection,
    meter: Meter,
    terms: Terms,
    *,
    source: dict[str, str],
    lago: str,
    now: datetime,
    adopt: bool,
) -> list[str]:
    """See that a meter still is what it was, or adopt a declared change.

    Args:
        connection: the ledger's transaction, which holds the meter's turn.
        meter: as the ledger knows it.
        terms: what the settings ask for.
        source: where the settings read.
        lago: where the settings send.
        now: the source's clock.
        adopt: whether the operator declared the change.

    Returns:
        What was adopted, one sentence each.

    Raises:
        MeterChangedError: something differs and was not declared; says the choices.
    """
    changed = meter.timeline.latest.differences(terms)
    moved = [
        f"the source's {part.replace('_', ' ')} was {meter.source.get(part)}, now {source[part]}"
        for part in source
        if meter.source.get(part) != source[part]
    ]
    if meter.lago != lago:
        moved.append(f"LAGO_API_BASE was {meter.lago}, now {lago}")
    if not changed and not moved:
        return []
    if not adopt:
        raise MeterChangedError(_refusal(meter.name, changed, moved))

    adopted = []
    if changed:
        boundary = meter.timeline.next_boundary(terms, max(now, meter.watermark))
        _agree(connection, meter.name, terms, boundary)
        adopted.append(f"From {boundary:%Y-%m-%d %H:%M} UTC on: {'; '.join(changed)}.")
    if moved:
        connection.execute(
            update(tables.meter).where(tables.meter.c.name == meter.name).values(source=source, lago=lago)
        )
        adopted.append(f"From now on: {'; '.join(moved)}.")
    return adopted


def _twin(connection: Connection, terms: Terms, source: dict[str, str], lago: str) -> str | None:
    """A meter that has billed, and by which the same usage counts for the same billable metric."""
    table, event = tables.meter.c, tables.event.c
    billed = exists().where(event.meter == table.name, event.state == "accepted")
    for name in connection.scalars(select(table.name).where(table.source == source, table.lago == lago, billed)):
        latest = _timeline(connection, name).latest
        if (latest.code, latest.charge_by, latest.exclude) == (terms.code, terms.charge_by, terms.exclude):
            return str(name)
    return None


def _timeline(connection: Connection, name: str) -> Timeline:
    """By which terms a meter bills."""
    agreed = connection.execute(
        select(tables.terms).where(tables.terms.c.meter == name).order_by(tables.terms.c.since)
    ).all()
    return Timeline(
        [
            (
                each.since.astimezone(UTC),
                Terms(
                    each.code,
                    each.charge_by,
                    each.window_seconds,
                    each.model_column,
                    each.cache_hits,
                    tuple(each.exclude),
                ),
            )
            for each in agreed
        ]
    )


def _agree(connection: Connection, name: str, terms: Terms, since: datetime) -> None:
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


def _refusal(name: str, changed: list[str], moved: list[str]) -> str:
    choices = ["set it back"]
    if moved:
        choices.append(f"if another proxy or another Lago is meant, give it its own RECONCILE_METER (not {name!r})")
        choices.append("if the same database or the same Lago has moved, run `reconcile --adopt` once")
    else:
        choices.append("to bill so from the next window on, run `reconcile --adopt` once")
        choices.append(f"to bill both ways, give the second its own RECONCILE_METER (not {name!r}) and event code")
    return (
        f"Meter {name!r} was billed with other settings: {'; '.join(changed + moved)}. Nothing was done. "
        f"Choose: {'; '.join(choices)}."
    )
