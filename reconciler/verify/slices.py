"""How to read events back with few questions: whole spans of windows by pages, or one event's moment. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from reconciler.lago.questions import PAGE
from reconciler.model.terms import Timeline

_GAP = PAGE // 2
"""So many events that need not be read are read on the way, rather than to ask once more."""


class Slice(NamedTuple):
    """Windows that are read back together.

    Attributes:
        code: whose events.
        first: the first moment of the first window.
        last: the first moment of the last.
        inside: how many events the ledger has there.
        is_whole: whether pages of all of it cost less than a question for each event.
    """

    code: str
    first: datetime
    last: datetime
    inside: int
    is_whole: bool


def slices(wanted: Mapping[datetime, int], crowds: Mapping[datetime, int], timeline: Timeline) -> list[Slice]:
    """Cut the windows of events that are to be read back.

    Args:
        wanted: how many of them each window has.
        crowds: how many events the ledger has in each window from the first to the last of these.
        timeline: which code a window has.
    """
    found: list[Slice] = []
    first = last = None
    gap = inside = mine = 0
    for window in sorted({*wanted, *crowds}):
        there = max(crowds.get(window, 0), wanted.get(window, 0))
        if window not in wanted:
            gap += there
            continue
        joins = first is not None and gap <= _GAP and timeline.at(window).code == timeline.at(first).code
        if first is not None and last is not None and not joins:
            found.append(_slice(timeline, first, last, inside, mine))
        if not joins:
            first, inside, mine = window, 0, 0
        else:
            inside += gap
        last, gap = window, 0
        inside, mine = inside + there, mine + wanted[window]
    if first is not None and last is not None:
        found.append(_slice(timeline, first, last, inside, mine))
    return found


def _slice(timeline: Timeline, first: datetime, last: datetime, inside: int, mine: int) -> Slice:
    return Slice(timeline.at(first).code, first, last, inside, -(-inside // PAGE) <= mine)
