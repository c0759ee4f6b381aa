"""The doctor's page: a line a check, below the station that it is of."""

from itertools import groupby

from reconciler.cli import terminal
from reconciler.model.words import count
from reconciler.verify.doctor.check import Check, Mark
from reconciler.verify.doctor.questions import STATION_OF
from reconciler.verify.doctor.run import Examination

_SIGNS = {Mark.GOOD: "✓", Mark.LOOK: "!", Mark.BAD: "✗", Mark.NOT_ASKED: "-"}
_PLAIN = {**_SIGNS, Mark.GOOD: "ok", Mark.BAD: "x"}
"""For an encoding that lacks the others."""

_STYLES = {Mark.GOOD: "", Mark.LOOK: terminal.LOOK, Mark.BAD: terminal.BAD, Mark.NOT_ASKED: ""}


def page(found: Examination) -> None:
    """Show all of it."""
    signs = _SIGNS if terminal.can_show("".join(_SIGNS.values())) else _PLAIN
    for station, checks in groupby(found.checks, lambda check: STATION_OF[check.name]):
        terminal.heading(station)
        for (mark, _), same in groupby(checks, _together):
            some = list(same)
            names = ", ".join(_name(check) for check in some)
            cure = f" {some[0].cure}" if some[0].cure else ""
            terminal.say(f"{signs[mark]} {names}: {some[0].says}{cure}", _STYLES[mark])
    terminal.say(_conclusion(found))


def _together(check: Check) -> tuple[Mark, str]:
    """By which checks share a line: those that were not asked for one reason."""
    return check.mark, check.says if check.mark is Mark.NOT_ASKED else f"{check.name} {check.meter} {check.says}"


def _name(check: Check) -> str:
    return check.name if check.meter is None else f"{check.name} of {check.meter}"


def _conclusion(found: Examination) -> str:
    marks = [check.mark for check in found.checks]
    parts = [
        f"{marks.count(mark):,} {words}"
        for mark, words in ((Mark.BAD, "to mend"), (Mark.LOOK, "to look at"), (Mark.NOT_ASKED, "not asked"))
        if mark in marks
    ]
    return f"{count(len(marks), 'check')}: {', '.join(parts) or 'all is well'}."
