"""A customer's usage that was billed to the wrong subscription: found in the ledger, and planned to be billed right.

What Lago has is taken back by an event with measures below zero and billed anew by another; both are events like any
other, the next revisions of their bucket, so that billed stays the same. What Lago never had goes there as it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg.rows import args_row, class_row
from sqlalchemy import Connection

from reconciler.capture.planner import event_values, what_plans
from reconciler.database.postgres import execute
from reconciler.database.statements import statement
from reconciler.ledger.batches import Part, Seen, State
from reconciler.ledger.outbox import split_off
from reconciler.model.errors import ReconcileError
from reconciler.model.terms import Stretch
from reconciler.report.move import Line, Made
from reconciler.settings.meter import MeterSettings


class Moment(NamedTuple):
    """Events of a move that count for one subscription at one moment.

    Attributes:
        subscription: whose.
        stamp: the moment, in seconds as text.
        takes_back: whether they take usage back.
        events: how many.
        cost: how much usage that is, USD.
    """

    subscription: str
    stamp: str
    takes_back: bool
    events: int
    cost: Any


class _Unsent(NamedTuple):
    """Events of a batch that Lago never had."""

    id: int
    attempt: int
    state: State
    events: int
    held_for: str | None
    answer: str | None
    places: list[int]


class Misplaced:
    """One customer's usage that is not billed to the wanted subscription; stretch by stretch, of whole windows."""

    def __init__(self, wanted: MeterSettings, meter: str, customer: str, subscription: str) -> None:
        """Read nothing yet.

        Args:
            wanted: the meter's settings.
            meter: its name.
            customer: whose usage.
            subscription: where it belongs.
        """
        self._wanted = wanted
        self._values = {
            "meter": meter,
            "customer": customer,
            "subscription": subscription,
            "event_field": wanted.event_field,
            "properties": wanted.properties,
            "precise_cents": wanted.precise_cents,
        }

    def lines(self, connection: Connection, stretch: Stretch) -> list[Line]:
        """What there is to move, by day, model and subscription."""
        return self._read(connection, "lines", stretch, class_row(Line))

    def moments(self, connection: Connection, stretch: Stretch) -> list[Moment]:
        """When the events of the move count."""
        return self._read(connection, "moments", stretch, args_row(Moment))

    def move(
        self, connection: Connection, stretch: Stretch, shown: Sequence[Line], *, by: str, reason: str, batch: int = 100
    ) -> Made:
        """Plan what was shown to a person, just as it was shown.

        Args:
            connection: the ledger's transaction, which holds the meter's turn.
            stretch: of which windows.
            shown: their lines.
            by: who decided it.
            reason: why.
            batch: the most events in a batch.

        Raises:
            ReconcileError: it is no longer as it was shown; then nothing is done.
        """
        values = self._of(stretch)
        execute(connection, "move/lock", values)
        if self.lines(connection, stretch) != list(shown):
            raise changed()
        execute(connection, "move/forget_unsubscribed", values, misplaced=statement("move/misplaced"))
        redirected = self._redirect(connection, stretch, Part((), "planned", decided_by=by, reason=reason))
        further = {"by": by, "reason": reason, "batch_size": max(1, batch // 2 * 2)}
        return Made(self._compensate(connection, stretch, further), redirected)

    def _redirect(self, connection: Connection, stretch: Stretch, goes: Part) -> int:
        """Point what Lago never had to the wanted subscription."""
        made: list[int] = []
        found = self._read(connection, "unsent", stretch, args_row(_Unsent))
        for some in found:
            part = Part(some.places, goes.state, decided_by=goes.decided_by, reason=goes.reason)
            stays = Part((), some.state, held_for=some.held_for, answer=some.answer)
            batches = split_off(connection, Seen(*some[:4]), [part], stays=stays)
            if not batches:
                raise changed()
            made += batches
        if made:
            execute(connection, "move/redirect", self._values | {"batches": made})
        return sum(len(some.places) for some in found)

    def _compensate(self, connection: Connection, stretch: Stretch, further: dict[str, Any]) -> int:
        """Take back what Lago has, and bill it anew."""
        row = execute(
            connection,
            "move/compensate",
            self._of(stretch) | event_values(self._wanted, stretch.terms) | further,
            misplaced=statement("move/misplaced"),
            planned=what_plans("move", stamped=statement("move/stamp")),
        ).fetchone()
        return int(row[0]) if row else 0

    def _read(self, connection: Connection, name: str, stretch: Stretch, row: Any) -> list[Any]:
        misplaced = statement("move/misplaced")
        return execute(connection, f"move/{name}", self._of(stretch), row, misplaced=misplaced).fetchall()

    def _of(self, stretch: Stretch) -> dict[str, Any]:
        return self._values | {"since": stretch.since, "until": stretch.until}


def changed() -> ReconcileError:
    """That a move is not what a person has agreed to."""
    return ReconcileError("This usage has changed since it was shown")
