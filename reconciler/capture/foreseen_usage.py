"""Whose usage a pass would plan, for a dry run: by subscription and model."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.model.terms import Stretch
from reconciler.report.usage import Slice, Usage


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
        found = [Usage() for _ in slices]
        names, since, until = (list(each) for each in zip(*slices, strict=True)) if slices else ([], [], [])
        given = {"names": names, "slices_since": since, "slices_until": until}
        for seen in self._seen:
            if any(one.since < seen.until and seen.since < one.until for one in slices):
                for _, rows in self._chunks.compared(
                    self._comparison, "capture/foreseen_slices", seen, dict_row, given
                ):
                    for row in rows:
                        number = row.pop("number") - 1
                        found[number] = found[number].and_(Usage(**row))
        return found
