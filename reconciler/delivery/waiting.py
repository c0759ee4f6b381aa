"""Usage that is planned and that Lago has not confirmed yet: a real run sends it, too."""

from collections import defaultdict
from collections.abc import Sequence

from psycopg.rows import dict_row

from reconciler.ledger.store import Ledger
from reconciler.report.usage import Slice, Usage, asked, in_slices


class Waiting:
    """Reads that of one meter."""

    def __init__(self, meter: str, ledger: Ledger) -> None:
        """Read nothing yet."""
        self._meter = meter
        self._ledger = ledger

    def used(self) -> dict[str, dict[str, Usage]]:
        """All of it, by subscription and model."""
        found: dict[str, dict[str, Usage]] = defaultdict(dict)
        for row in self._ledger.once("delivery/planned_usage", {"meter": self._meter}, dict_row):
            name, model = row.pop("subscription"), row.pop("model")
            found[name][model] = Usage(**row)
        return found

    def within(self, slices: Sequence[Slice]) -> list[Usage]:
        """How much of it lies in each slice."""
        if not slices:
            return []
        given = {"meter": self._meter} | asked(slices)
        return in_slices(slices, self._ledger.once("delivery/planned_slices", given, dict_row))
