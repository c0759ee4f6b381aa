"""What Lago holds of whole spans of windows, read by pages: each window once, though batches share it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from reconciler.lago.client import Lago
from reconciler.lago.questions import PAGE
from reconciler.lago.shown import timestamp_of
from reconciler.model.terms import Timeline
from reconciler.verify.accepted import Event
from reconciler.verify.slices import Slice
from reconciler.verify.strangers import Strangers

_KEPT = 10_000
"""So many events of a window are kept for the next span, which begins with it; of more it is read again."""

_MILLISECOND = timedelta(milliseconds=1)

Held = Mapping[str, Sequence[Mapping[str, Any]]]
"""What Lago holds, by id."""


class Pages:
    """Reads one meter's spans, in the order of their windows."""

    def __init__(self, timeline: Timeline, lago: Lago, strangers: Strangers) -> None:
        """Read nothing yet; hand to `strangers` what is not looked for."""
        self._timeline = timeline
        self._lago = lago
        self._strangers = strangers
        self._last: tuple[str, datetime] | None = None
        self._kept: list[dict[str, Any]] = []

    def read(self, part: Slice, wanted: Iterable[Event], crowds: Mapping[datetime, int]) -> Held:
        """What Lago holds of the wanted events of a span; what it has there besides may be strangers.

        Args:
            part: the span.
            wanted: the events.
            crowds: how many events the ledger has in each window.
        """
        ours = {each.transaction_id: each.event.get("external_subscription_id") for each in wanted}
        held: dict[str, list[dict[str, Any]]] = defaultdict(list)
        since, inside, others = part.first, part.inside, []
        if self._last == (part.code, part.first):
            since, inside = self._timeline.window_end(part.first), inside - crowds.get(part.first, 0)
            others = self._sorted(self._kept, ours, held)
        until = self._timeline.window_end(part.last) - _MILLISECOND
        rest = [event for event in others if _is_from(event, part.last)]
        if since <= until:
            for page in self._lago.events(part.code, since, until, size=_size(inside)):
                others = self._sorted(page.things, ours, held)
                self._strangers.take(others)
                rest += [event for event in others if _is_from(event, part.last)] if len(rest) <= _KEPT else []
            self._strangers.end_of_span()
        is_kept = len(rest) <= _KEPT
        self._last, self._kept = (part.code, part.last) if is_kept else None, rest if is_kept else []
        return held

    @staticmethod
    def _sorted(
        events: Iterable[dict[str, Any]], ours: Mapping[str, Any], held: dict[str, list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Put our events into `held`; return the others."""
        others = []
        for event in events:
            id_ = event.get("transaction_id")
            if isinstance(id_, str) and id_ in ours and event.get("external_subscription_id") == ours[id_]:
                held[id_].append(event)
            else:
                others.append(event)
        return others


def _size(events: int) -> int:
    """How large pages are to be, so that so many events fill them: a last one of a few would be a question too many."""
    return max(PAGE, -(-events // max(1, events // PAGE)))


def _is_from(event: Mapping[str, Any], start: datetime) -> bool:
    moment = timestamp_of(event)
    return moment is not None and moment >= start
