"""Whose usage a pass would plan, for a dry run: by subscription."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Connection

from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.model.terms import Stretch
from reconciler.report.foreseen import Usage

_ALL: dict[str, Any] = {"subscriptions": None, "moments": None}


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
        self.usage: dict[str, Usage] = {}
        """All of it."""

    def see(self, connection: Connection, chunk: Stretch, given: Mapping[str, Any]) -> None:
        """Take in a chunk that the comparison has brought; `given` are its values."""
        _add(self.usage, self._comparison.ask(connection, "capture/foreseen", {**given, **_ALL}, dict_row))
        self._seen.append(chunk)

    def before(self, moments: Mapping[str, datetime]) -> dict[str, Usage]:
        """That of some subscriptions whose events are older than a moment each: read again, up to the last moment.

        Raises:
            NoTurnError: another pass has the meter's turn.
        """
        found: dict[str, Usage] = {}
        last = max(moments.values(), default=None)
        given = {"subscriptions": list(moments), "moments": list(moments.values())}
        for seen in self._seen:
            if last is not None and seen.since < last:
                for _, rows in self._chunks.compared(self._comparison, "capture/foreseen", seen, dict_row, given):
                    _add(found, rows)
        return found


def _add(usage: dict[str, Usage], rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        name = row.pop("subscription")
        usage[name] = usage.get(name, Usage()).and_(Usage(**row))
