"""What a pass did, for people and for programs; the names of its JSON are settled in the design, section 8."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reconciler.ledger.balance import Balance
from reconciler.model.errors import ReconcileError
from reconciler.model.money import plain
from reconciler.report.figures import Delivered, Tally
from reconciler.report.foreseen import Foreseen


@dataclass
class Summary:
    """What one pass over one meter did; `as_json` has the names that programs rely on.

    `foreseen` is what a dry run foresees; `open_rows` are in windows that settle at `settled_at` at the earliest, told
    by a first look that bills nothing.

    Of the alarms that stand, those in `ringing` have rung since a pass last said them: this one says them in full. Of
    the warnings, those in `said_before` are the last pass's, too.
    """

    meter: str
    run_id: str
    since: datetime | None = None
    until: datetime | None = None
    watermark: datetime | None = None
    start: datetime | None = None
    begun: bool = False
    tally: Tally = field(default_factory=Tally)
    delivered: Delivered = field(default_factory=Delivered)
    balance: Balance | None = None
    alarms: list[dict[str, Any]] = field(default_factory=list)
    ringing: list[int] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    said_before: list[str] = field(default_factory=list)
    foreseen: Foreseen | None = None
    open_rows: int = 0
    settled_at: datetime | None = None
    skipped: bool = False
    dry_run: bool = False
    error: ReconcileError | None = None

    @property
    def exit_code(self) -> int:
        """1 if the work was not done, 0 if another pass is doing it, 3 if a person should look, else 0."""
        if self.error is not None:
            return self.error.exit_code
        if self.skipped:
            return 0  # what stands, the pass that has the turn says
        return 3 if any(not alarm["acknowledged"] for alarm in self.alarms) else 0

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC, money as decimal text."""
        now = self.balance
        # A dry run records no window, so that how the meter stands does not show what it saw.
        seen = self.tally if now is None or self.dry_run else now
        return {
            "meter": self.meter,
            "since": iso(self.since),
            "until": iso(self.until),
            "watermark": iso(self.watermark),
            "rows": self.tally.rows,
            "windows": self.tally.windows,
            "events_planned": self.tally.events_planned,
            "events_accepted": self.delivered.accepted,
            "events_quarantined": self.delivered.quarantined,
            "events_pending": now.planned_events if now else 0,
            "cost_planned": plain(self.tally.cost_planned),
            "unattributed_rows": self.tally.unattributed_rows,
            "unattributed_cost": plain(self.tally.unattributed_cost),
            "suspect_rows": self.tally.suspect_rows,
            "frozen_buckets": seen.frozen_buckets,
            "unmapped_buckets": seen.unmapped_buckets,
            "held_events": now.held_events if now else 0,
            "unsubscribed_events": now.unsubscribed_events if now else 0,
            "unsubscribed_cost": plain(now.unsubscribed_cost) if now else "0",
            "late_rows": seen.late_rows,
            "alarms": self.alarms,
            "adopted": self.adopted,
            "warnings": self.warnings,
            "open_rows": self.open_rows,
            "settled_at": iso(self.settled_at),
            "foreseen": self.foreseen.as_json() if self.foreseen else None,
            "dry_run": self.dry_run,
            "skipped": self.skipped,
            "error": str(self.error) if self.error else None,
        }


def exit_code(summaries: list[Summary]) -> int:
    """The first that applies: 1 the work was not done, 3 a person should look, 0."""
    codes = {summary.exit_code for summary in summaries}
    return next((code for code in (1, 3) if code in codes), 0)


def iso(moment: datetime | None) -> str | None:
    """A time as ISO text in UTC, to the second."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
