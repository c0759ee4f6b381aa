"""What a cut-over has found, as people and programs get it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from reconciler.model.money import plain
from reconciler.report.summary import iso

By = Literal["all", "day", "customer", "model"]


@dataclass(frozen=True)
class Kind:
    """A kind of what is found.

    Attributes:
        name: its name.
        means: what it is, and what to do.
        needs_a_look: whether a person should.
    """

    name: str
    means: str
    needs_a_look: bool = False


_OURS = (
    Kind("taken over", "The callback has billed these requests: they count as billed, and are never sent."),
    Kind("taken before", "The same, from an earlier cut-over."),
    Kind("missed", "The callback has billed these requests nowhere: `reconcile --since` bills them."),
    Kind("left out", "The callback has billed these requests, and this meter leaves such out."),
    Kind(
        "after",
        "The callback has billed these requests from after the instant, so it was still on somewhere, and this meter "
        "bills them, too. Run this again with an --at after them, before passes bill them; else credit them in Lago.",
        needs_a_look=True,
    ),
    Kind(
        "doubled",
        "The callback has billed these requests, and this meter has billed them, too: credit them in Lago.",
        needs_a_look=True,
    ),
    Kind(
        "twice",
        "Events that say again what another one says, for no second request: billed twice. Credit them in Lago.",
        needs_a_look=True,
    ),
    Kind(
        "no row",
        "Events of requests that the spend table does not have: the proxy has lost the rows, or retention has deleted "
        "them. They stay billed as they are.",
        needs_a_look=True,
    ),
    Kind(
        "not counted",
        "Events of which Lago counts nothing: they lack what its metric sums, or went to a subscription that Lago does "
        "not have. Their requests are among those missed.",
    ),
)

KINDS = {kind.name: kind for kind in _OURS}


@dataclass(frozen=True)
class Sum:
    """So much of a kind: in all, of a day (UTC), a customer, or a model and call type. The cost is in USD."""

    kind: str
    by: By
    day: date | None
    customer: str | None
    model: str | None
    call_type: str | None
    requests: int
    input_tokens: int
    output_tokens: int
    cost: Decimal

    def as_json(self) -> dict[str, Any]:
        """Plain values, the cost as decimal text."""
        whose = {
            "day": self.day.isoformat() if self.day else None,
            "customer": self.customer,
            "model": self.model,
            "call_type": self.call_type,
        }
        return {
            "kind": self.kind,
            **{name: value for name, value in whose.items() if value is not None},
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": plain(self.cost),
        }


@dataclass
class Found:
    """What a cut-over of one meter has found, and whether it is on record.

    Attributes:
        meter: its name.
        since: the first window that is cut over.
        at: the instant: the end of the last.
        code: the event code that the callback sends under.
        sums: how much there is of each kind.
        events: how many of the callback's events were read.
        is_new: whether it says more than what is on record.
        is_recorded: whether it is on record.
    """

    meter: str
    since: datetime
    at: datetime
    code: str
    sums: Sequence[Sum] = field(default_factory=list)
    events: int = 0
    is_new: bool = False
    is_recorded: bool = False

    def by(self, by: By, kind: str | None = None) -> list[Sum]:
        """The sums of one way, perhaps of one kind, those with the most cost first."""
        return [each for each in self.sums if each.by == by and kind in {None, each.kind}]

    def requests(self, *kinds: str) -> int:
        """How many requests or events there are of these kinds."""
        return sum(each.requests for each in self.by("all") if each.kind in kinds)

    @property
    def needs_a_look(self) -> list[Sum]:
        """Of which kinds there is what a person should look at."""
        return [each for each in self.by("all") if KINDS[each.kind].needs_a_look]

    @property
    def is_implausible(self) -> bool:
        """Whether events and rows seem to be of different things: more of both are left over than found each other."""
        fitting = self.requests("taken over", "taken before", "doubled", "left out", "after")
        return min(self.requests("no row"), self.requests("missed")) > fitting

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC."""
        return {
            "meter": self.meter,
            "since": iso(self.since),
            "at": iso(self.at),
            "code": self.code,
            "callback_events": self.events,
            "recorded": self.is_recorded,
            "found": [each.as_json() for each in ordered(self.by("all"))],
            "by_day": [each.as_json() for each in ordered(self.by("day"))],
            "by_model": [each.as_json() for each in ordered(self.by("model"))],
            "by_customer": [each.as_json() for each in ordered(self.by("customer"))],
        }


def ordered(sums: Iterable[Sum]) -> list[Sum]:
    """The sums in the order of the kinds."""
    places = {name: place for place, name in enumerate(KINDS)}
    return sorted(sums, key=lambda each: places[each.kind])
