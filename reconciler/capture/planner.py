"""One chunk: compare a span of windows with the source and plan what differs, in one statement of the ledger."""

from typing import Any

from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.capture.comparison import Comparison
from reconciler.capture.foreseen_usage import ForeseenUsage
from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.ledger.kinds.source import overtaken
from reconciler.ledger.store import Ledger
from reconciler.model import windows
from reconciler.model.durations import iso_duration
from reconciler.model.terms import Stretch, Terms
from reconciler.report.figures import Tally
from reconciler.settings.meter import MeterSettings


class Planner:
    """Plans chunks of one meter."""

    def __init__(
        self,
        meter: MeterSettings,
        comparison: Comparison,
        ledger: Ledger,
        *,
        batch: int = 100,
        foreseen: ForeseenUsage | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            meter: the meter's settings.
            comparison: finds what differs.
            ledger: where it is planned.
            batch: the most events in a batch.
            foreseen: takes in what would be planned, in a dry run, which plans nothing.
        """
        self._meter = meter
        self._comparison = comparison
        self._ledger = ledger
        self._batch = batch
        self._foreseen = foreseen

    def plan(self, connection: Connection, stretch: Stretch) -> Tally:
        """Compare the stretch's windows, plan their deltas, and record what was seen.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            stretch: whole settled windows in scope.

        Returns:
            The chunk's figures. That retention has overtaken the watermark is rung in the same transaction.
        """
        given = self._comparison.bring(connection, stretch)
        further = event_values(self._meter, stretch.terms) | {"batch_size": self._batch}
        row = cursor(connection, dict_row).execute(self._statement(), given | further).fetchone()
        assert row is not None
        mark, watermark = row.pop("overtaken"), row.pop("watermark")
        if mark is not None:
            self._ledger.ring(connection, self._meter.name, overtaken(mark, watermark))
        if self._foreseen is not None:
            self._foreseen.see(connection, stretch, given)
        return Tally(**row)

    def close(self, connection: Connection, part: Stretch) -> Tally:
        """Plan what was used in the first part of a window that is still open; its events count at the part's end.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            part: from the window's start to a quarter of a second within it.

        Returns:
            What was planned. What else the window holds is for a look at the whole of it, when it is settled.
        """
        given = self._comparison.bring(connection, part)
        further = event_values(self._meter, part.terms) | {"batch_size": self._batch}
        whole = statement("capture/close").format(
            compared=self._comparison.compared,
            open_window=statement("capture/open_window"),
            planned=what_plans(stamped=statement("capture/stamp").format()),
        )
        stamp = {"stamp": windows.stamp(part.until)}
        row = cursor(connection, dict_row).execute(whole, given | further | stamp).fetchone()
        assert row is not None
        return Tally(**row)

    def _statement(self) -> sql.Composed:
        """The chunk's statement, put together from those in sql/."""
        return statement("capture/chunk").format(
            compared=self._comparison.compared,
            planned=what_plans(stamped=sql.SQL("windows.stamped"), is_dry=self._foreseen is not None),
            look_at_windows=statement("capture/look_at_windows"),
            record_windows=statement("capture/record_windows"),
            unbilled_customers=statement("capture/unbilled_customers"),
            found_unbilled=statement("capture/found_unbilled"),
            forget_unbilled=statement("capture/forget_unbilled"),
            record_unbilled=statement("capture/record_unbilled"),
        )


def what_plans(folder: str = "capture", *, stamped: sql.Composable, is_dry: bool = False) -> sql.Composed:
    """The part of a statement that plans.

    Args:
        folder: whose fragments of sql/ say which batch an event goes in, and what is kept of batches.
        stamped: says when events count.
        is_dry: plan nothing.
    """
    nothing = sql.SQL("TABLE delta")
    return statement("capture/planned").format(
        place=statement(f"{folder}/place"),
        batches=statement("capture/batches"),
        record_batches=nothing if is_dry else statement(f"{folder}/record_batches"),
        plan=nothing if is_dry else statement("capture/plan").format(stamped=stamped),
    )


def event_values(meter: MeterSettings, terms: Terms) -> dict[str, Any]:
    """The values by which plan.sql writes a meter's events of windows of these terms."""
    return {
        "code": terms.code,
        "event_field": meter.event_field,
        "properties": meter.properties,
        "precise_cents": meter.precise_cents,
        "framed_meter": "".join(f"{len(text.encode())}:{text}" for text in (meter.name, terms.code, terms.charge_by)),
        "iso_length": iso_duration(terms.window_seconds),
        "window_seconds": terms.window_seconds,
    }
