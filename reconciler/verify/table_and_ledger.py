"""Leg b: is all that the spend table says billed in the ledger? Exact, bucket by bucket, at the cost of a deep look.

A deep look sums in the source and compares in the ledger, and so does this; only what differs comes here.
"""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from psycopg.rows import namedtuple_row

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.scope import in_scope
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch
from reconciler.model.words import count
from reconciler.verify.findings import WORST, Difference, Kind, Leg

NEXT = Kind("not billed yet, next pass", drift=False, means="Every pass looks at these windows: the next one bills it.")
LATE = Kind(
    "not billed yet",
    drift=True,
    means="It has appeared since a look was there. A probe or deep look bills it, or `reconcile --since` that day.",
)
FROZEN = Kind(
    "frozen",
    drift=True,
    means="The table holds less than was billed, as rows were changed or deleted: see `reconcile frozen`.",
)
UNMAPPED = Kind(
    "unmapped", drift=True, means="RECONCILE_MAPPING lacks these customers: add them, and the next look bills them."
)
PURGED = Kind("purged", drift=False, means="Retention has deleted rows that were billed: no loss.")
UNATTRIBUTED = Kind("unattributed", drift=False, means="Rows without a customer: nobody is billed for them.")
SUSPECT = Kind("suspect", drift=False, means="Rows with negative, NaN or infinite figures are not billed.")

KINDS = {
    "next": NEXT,
    "plan": LATE,
    "frozen": FROZEN,
    "unmapped": UNMAPPED,
    "purged": PURGED,
    "unattributed": UNATTRIBUTED,
    "suspect": SUSPECT,
}
"""By the fates and verdicts of sql/verify/differences.sql."""

_NOT_COMPARED = {UNATTRIBUTED, SUSPECT}


class TableAndLedger:
    """Compares one meter's windows."""

    def __init__(
        self, meter: Meter, comparison: Comparison, chunks: Chunks, ledger: Ledger, *, fresh_since: datetime
    ) -> None:
        """Read nothing yet.

        Args:
            meter: as the ledger has it.
            comparison: finds what differs.
            chunks: cuts spans into chunks.
            ledger: where it is billed.
            fresh_since: from here on every pass looks.
        """
        self._meter = meter
        self._comparison = comparison
        self._chunks = chunks
        self._ledger = ledger
        self._fresh_since = fresh_since
        self.exact_until: datetime | None = None
        """Up to here there is no difference; None if there is none at all."""

    def run(self, since: datetime, until: datetime, leg: Leg) -> None:
        """Compare `[since, until)`, whole settled windows, and note in `leg` what is found.

        Raises:
            NoTurnError: a pass has the meter's turn.
        """
        windows = 0
        for start, end in in_scope(self._ledger, self._meter, since, until):
            for stretch in self._meter.timeline.stretches(start, end):
                self._compare(stretch, leg)
                windows += (stretch.until - stretch.since) // stretch.terms.window
                leg.checked = count(windows, "window")

    def _compare(self, stretch: Stretch, leg: Leg) -> None:
        values = {"fresh_since": self._fresh_since, "most": WORST}
        for chunk, rows in self._chunks.compared(
            self._comparison, "verify/differences", stretch, namedtuple_row, values
        ):
            self._note(chunk, rows, leg)

    def _note(self, chunk: Stretch, rows: list[Any], leg: Leg) -> None:
        """Note what differs in one chunk."""
        shown = []
        for row in rows:
            if row.fate is None:
                leg.days[row.day].add(row.cost, row.cost)
                continue
            kind = KINDS[row.fate]
            if row.customer is not None:
                shown.append(Difference(kind, row.day, row.customer, row.buckets, row.cost))
                continue
            leg.count(kind, row.requests if kind in _NOT_COMPARED else row.buckets, row.cost)
            if kind not in _NOT_COMPARED:  # what retention deleted is on neither side
                leg.days[row.day].add(-row.cost if kind is PURGED else Decimal(), -row.cost)
            if kind not in {PURGED, *_NOT_COMPARED}:
                begin = max(chunk.since, datetime.combine(row.day, time(), UTC))
                self.exact_until = min(self.exact_until or begin, begin)
        leg.show(shown)
