"""What a verification of one meter comes to: its legs, up to where all is verified, what was mended. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.model.errors import ReconcileError
from reconciler.report.summary import iso
from reconciler.verify.findings import Leg
from reconciler.verify.mended import Mended


@dataclass
class Report:
    """What was found of one meter.

    Attributes:
        meter: its name.
        since: from which window on the spend table was compared.
        until: up to which, exclusive; and up to where events were asked for.
        legs: in the order of the flow.
        mended: what a repair did, or would do; None if none was asked for.
        verified_until: up to here all settled windows from `since` on are verified; None if none is.
        error: why nothing could be done.
    """

    meter: str
    since: datetime | None = None
    until: datetime | None = None
    legs: list[Leg] = field(default_factory=list)
    mended: Mended | None = None
    verified_until: datetime | None = None
    error: ReconcileError | None = None

    @property
    def errors(self) -> list[ReconcileError]:
        """Why it could not do all of its work; of several legs with one reason the first one's."""
        found = [error for error in (self.error, *(leg.error for leg in self.legs)) if error]
        return list({str(error): error for error in reversed(found)}.values())[::-1]

    @property
    def exit_code(self) -> int:
        """1 if it could not do all of its work, 3 on drift, else 0."""
        if self.errors:
            return self.errors[0].exit_code
        return 3 if any(leg.drifts for leg in self.legs) else 0

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC."""
        return {
            "meter": self.meter,
            "since": iso(self.since),
            "until": iso(self.until),
            "verified_until": iso(self.verified_until),
            "legs": [leg.as_json() for leg in self.legs],
            "repair": self.mended.as_json(self.legs) if self.mended else None,
            "error": str(self.error) if self.error else None,
            "exit_code": self.exit_code,
        }
