"""The runs that the ledger remembers: when each pass began, how it ended, its summary."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from reconciler.database.postgres import execute
from reconciler.ledger import alarms
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import Ledger
from reconciler.model.errors import NoTurnError, ReconcileError, StoppedError
from reconciler.report.summary import Summary

KEEP_RUNS = timedelta(days=35)
"""How long the ledger remembers runs."""


def note_newest(connection: Connection, summary: Summary, clock: datetime, newest: datetime | None) -> None:
    """Note by the run what the source's clock said and when its newest row began."""
    values = {"id": _id(summary), "clock": clock, "newest": newest}
    execute(connection, "ledger/note_newest", values)


@contextmanager
def recorded(ledger: Ledger, summary: Summary, patience: Patience) -> Iterator[None]:
    """Record the run: that it began, and why it did not do its work; it may be one too many.

    One that does is ended with its conclusion, in the same transaction.
    """
    [(warnings,)] = ledger.once("ledger/begin_run", {"id": _id(summary), "meter": summary.meter})
    summary.said_before = warnings or []
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
        if outcome != "done":
            with suppress(ReconcileError):  # what failed first is told
                _close(ledger, outcome, summary, patience)


def _id(summary: Summary) -> str:
    return f"{summary.run_id}-{summary.meter}"


def _close(ledger: Ledger, outcome: str, summary: Summary, patience: Patience) -> None:
    with ledger.transaction() as connection:
        end(connection, outcome, summary)
        if outcome != "stopped" and not ledger.is_dry:
            alarms.see_behind(connection, summary.meter, patience)
            if not summary.skipped:
                summary.alarms, ringing = ledger.standing(connection, summary.meter)
                summary.ringing += ringing
            end(connection, outcome, summary)


def end(connection: Connection, outcome: str, summary: Summary) -> None:
    """Note how the run has ended, and its summary; forget runs of long ago."""
    values = {"id": _id(summary), "meter": summary.meter, "outcome": outcome, "keep": KEEP_RUNS}
    execute(connection, "ledger/end_run", values | {"summary": Jsonb(summary.as_json())})
