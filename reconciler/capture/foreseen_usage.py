"""Whose usage a pass would plan, for a dry run: by subscription and model."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.model.terms import Stretch
from reconciler.report.usage import Slice, Usage, asked, in_slices


class ForeseenUsage:
    """Takes in, chunk by chunk, what the looks of a dry run would plan."""

    def __init__(self, comparison: Comparison, chunks: Chunks) -> None:
        """Begin with nothing.

        Args:
            comparison: finds what differs.
            chunks: reads a part of it again.
        """
        self._comparison = comparison
        self._chunks = chunks
        self._seen: list[Stretch] = []
        self.used: dict[str, dict[str, Usage]] = defaultdict(dict)
        """All of it."""

    def see(self, connection: Connection, chunk: Stretch, given: Mapping[str, Any]) -> None:
        """Take in a chunk that the comparison has brought; `given` are its values."""
        for row in self._comparison.ask(connection, "capture/foreseen", given, dict_row):
            models, model = self.used[row.pop("subscription")], row.pop("model")
            models[model] = models.get(model, Usage()).and_(Usage(**row))
        self._seen.append(chunk)

    def within(self, slices: Sequence[Slice]) -> list[Usage]:
        """How much of it lies in each slice: read again, only where slices are.

        Raises:
            NoTurnError: another pass has the meter's turn.
        """
        name, given = "capture/foreseen_slices", asked(slices)

        def rows() -> Iterator[dict[str, Any]]:
            for seen in self._seen:
                if any(one.since < seen.until and seen.since < one.until for one in slices):
                    for _, found in self._chunks.compared(self._comparison, name, seen, dict_row, given):
                        yield from found

        return in_slices(slices, rows())
