"""Whose usage a pass would plan, for a dry run: by subscription."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from reconciler.capture.comparison import Comparison, days
from reconciler.ledger.meters import Meter
from reconciler.report.foreseen import Usage


class Foreseen:
    """Reads what a pass over these spans would plan."""

    def __init__(self, meter: Meter, comparison: Comparison, spans: Sequence[tuple[datetime, datetime]]) -> None:
        """Read nothing yet.

        Args:
            meter: as the dry ledger has it.
            comparison: its source and ledger.
            spans: the windows that the pass looks at.
        """
        self._meter = meter
        self._comparison = comparison
        self._spans = spans

    def usage(self) -> dict[str, Usage]:
        """All of it."""
        return self._read(None)

    def before(self, moments: Mapping[str, datetime]) -> dict[str, Usage]:
        """That of some subscriptions whose events are older than a moment each."""
        return self._read(moments) if moments else {}

    def _read(self, moments: Mapping[str, datetime] | None) -> dict[str, Usage]:
        given = {
            "subscriptions": None if moments is None else list(moments),
            "moments": None if moments is None else list(moments.values()),
        }
        found: dict[str, Usage] = {}
        for since, until in self._spans:
            for stretch in days(self._meter, since, until):
                for row in self._comparison.rows("foreseen", stretch, given):
                    name = row.pop("subscription")
                    found[name] = found.get(name, Usage()).and_(Usage(**row))
        return found
