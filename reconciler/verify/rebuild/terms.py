"""By which terms a meter billed, as its events show it: window, charge-by and code of each window. Pure.

What rows an exclusion left out, and which column named the models, no event says: there the settings hold.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from math import lcm
from typing import NamedTuple

from reconciler.model import windows
from reconciler.model.durations import format_duration
from reconciler.model.errors import MeterChangedError
from reconciler.model.terms import BEGINNING, Terms, Timeline

Agreed = tuple[datetime, Terms]
"""Terms, and the moment from which they hold."""


class Billed(NamedTuple):
    """A window with events, and how it was billed."""

    start: datetime
    seconds: int
    charge_by: str
    code: str


def agreements(known: Timeline | None, billed: Iterable[Billed], wanted: Terms) -> list[Agreed]:
    """What has to be agreed on for the events to be billed as they were.

    Args:
        known: the meter's terms; None for a new one.
        billed: its windows with events, each way of billing once, in their order.
        wanted: the terms of the settings. A new meter bills by them after the last event at the latest.

    Raises:
        MeterChangedError: windows overlap, or the ledger knows later terms: nothing can be agreed on.
    """
    agreed: list[Agreed] = []
    timeline, end = known, BEGINNING
    for window in billed:
        terms = replace(wanted, code=window.code, charge_by=window.charge_by, window_seconds=window.seconds)
        if timeline is None:
            agreed, timeline = [(BEGINNING, terms)], Timeline([(BEGINNING, terms)])
        if window.start < end:
            raise MeterChangedError(_refusal(window, end))
        at = timeline.at(window.start)
        if (at.window_seconds, at.charge_by, at.code) != window[1:]:
            boundary = windows.floor(window.start, _both(at, terms))
            if boundary < max(end, timeline.latest_since):
                raise MeterChangedError(_refusal(window, max(end, timeline.latest_since)))
            agreed.append((boundary, terms))
            timeline = timeline.with_(boundary, terms)
        end = window.start + timedelta(seconds=window.seconds)
    if known is None and (timeline is None or timeline.latest != wanted):
        agreed.append((BEGINNING if timeline is None else windows.ceil(end, _both(timeline.latest, wanted)), wanted))
    return agreed


def _both(one: Terms, another: Terms) -> timedelta:
    """A length whose boundaries are boundaries of both."""
    return timedelta(seconds=lcm(one.window_seconds, another.window_seconds))


def _refusal(window: Billed, end: datetime) -> str:
    how = f"{format_duration(timedelta(seconds=window.seconds))} by {window.charge_by} under {window.code!r}"
    return (
        f"Lago holds an event of the window {window.start:%Y-%m-%d %H:%M} UTC of {how}, where other windows reach to "
        f"{end:%Y-%m-%d %H:%M} UTC: two ledgers have billed by different settings, so nobody can tell what is billed "
        "there. Nothing was done. Choose a --since after it, and compare the time before by hand."
    )
