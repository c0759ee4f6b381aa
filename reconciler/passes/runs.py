"""The runs that the ledger remembers: when each pass began, how it ended, its summary."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from reconciler.ledger import alarms, tables
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import Ledger
from reconciler.model.errors import NoTurnError, ReconcileError, StoppedError
from reconciler.report.summary import Summary

KEEP_RUNS = timedelta(days=35)
"""How long the ledger remembers runs."""


def note_newest(connection: Connection, summary: Summary, clock: datetime, newest: datetime | None) -> None:
    """Note by the run what the source's clock said and when its newest row began."""
    table = tables.run
    ours = update(table).where(table.c.id == _id(summary))
    connection.execute(ours.values(source_clock=clock, newest_row=newest))


@contextmanager
def recorded(ledger: Ledger, summary: Summary, patience: Patience) -> Iterator[None]:
    """Record the run: that it began, and how it ended; one that did not do its work may be one too many."""
    table = tables.run
    run_id = _id(summary)
    with ledger.transaction() as connection:
        summary.said_before = _warnings_of_the_last(connection, summary.meter)
        connection.execute(insert(table).values(id=run_id, meter=summary.meter))
    outcome = "failed: it was cut off"
    try:
        yield
        outcome = "done"
    except NoTurnError:
        outcome, summary.skipped = "skipped", True
        raise
    except StoppedError as error:
        outcome, summary.error = "stopped", error
        raise
    except ReconcileError as error:
        outcome, summary.error = f"failed: {error}", error
        raise
    finally:
        with nullcontext() if outcome == "done" else suppress(ReconcileError):  # what failed first is told
            _close_run(ledger, run_id, outcome, summary, patience)


def _warnings_of_the_last(connection: Connection, meter: str) -> list[str]:
    table = tables.run
    last = (
        select(table.c.summary["warnings"])
        .where(table.c.meter == meter, table.c.finished_at.is_not(None), table.c.outcome != "skipped")
        .order_by(table.c.started_at.desc())
        .limit(1)
    )
    found: list[str] | None = connection.scalar(last)
    return found or []


def _id(summary: Summary) -> str:
    return f"{summary.run_id}-{summary.meter}"


def _close_run(ledger: Ledger, run_id: str, outcome: str, summary: Summary, patience: Patience) -> None:
    table, this = tables.run, tables.run.c.id == run_id
    with ledger.transaction() as connection:
        ended = {"finished_at": func.clock_timestamp(), "outcome": outcome}
        connection.execute(update(table).where(this).values(ended))
        old = func.clock_timestamp() - KEEP_RUNS
        connection.execute(delete(table).where(table.c.meter == summary.meter, table.c.started_at < old))
        if outcome not in {"done", "stopped"} and not ledger.is_dry:
            alarms.see_behind(connection, summary.meter, patience)
            if not summary.skipped:
                summary.alarms, ringing = ledger.standing(connection, summary.meter)
                summary.ringing += ringing
        connection.execute(update(table).where(this).values(summary=summary.as_json()))
