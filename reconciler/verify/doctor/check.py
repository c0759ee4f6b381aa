"""Checks: a mark, what was seen, and the cure. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from reconciler.model.errors import ReconcileError
from reconciler.verify.doctor.questions import BY_NAME, QUESTIONS, STATION_OF, Question

T = TypeVar("T")


class Mark(StrEnum):
    """What a check comes to."""

    GOOD = "good"
    LOOK = "look"
    BAD = "bad"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Check:
    """What one question has come to.

    Attributes:
        name: the question's, as `QUESTIONS` has it.
        mark: how it stands.
        says: what was seen, a sentence.
        cure: what to do, a sentence; empty where nothing is to be done, or where `says` has it already.
        meter: which meter it is about; None for all of them.
    """

    name: str
    mark: Mark
    says: str
    cure: str = ""
    meter: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        station = STATION_OF[self.name]
        told = {"station": station, "check": self.name, "meter": self.meter, "mark": self.mark.value}
        return {**told, "says": self.says, "cure": self.cure}


@dataclass(frozen=True)
class Untold:
    """What could not be asked, and why: a sentence for people."""

    why: str


def exit_code(checks: Iterable[Check]) -> int:
    """The first that applies: 1 something keeps billing from its work, 3 a person should look, 0."""
    marks = {check.mark for check in checks}
    return 1 if Mark.BAD in marks else 3 if Mark.LOOK in marks else 0


def told(ask: Callable[[], T]) -> T | Untold:
    """The answer to a question; the sentence of what kept it from being asked, if something did."""
    try:
        return ask()
    except ReconcileError as error:
        return Untold(str(error))


def completed(checks: Iterable[Check]) -> Iterator[Check]:
    """The checks in the order of questions, those that could not be asked too: each of these says because of what."""
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(check.name, []).append(check)
    failed = {name for name, some in found.items() if any(check.mark is Mark.BAD for check in some)}
    old = {check.name for check in found.get("schema", ()) if check.mark is Mark.LOOK}
    for question in QUESTIONS:
        if question.name in found:
            yield from found[question.name]
        elif why := _blamed(question, failed):
            yield Check(question.name, Mark.NOT_ASKED, f"not asked, since {why!r} failed.")
        elif _blamed(question, old):
            yield Check(question.name, Mark.NOT_ASKED, "not asked before the ledger is upgraded.")
        else:
            yield Check(question.name, Mark.LOOK, "Could not be asked: what it needs is not told.")


def _blamed(question: Question, failed: Collection[str]) -> str | None:
    """The failure that kept a question from being asked."""
    for need in question.needs:
        if blamed := need if need in failed else _blamed(BY_NAME[need], failed):
            return blamed
    return None
