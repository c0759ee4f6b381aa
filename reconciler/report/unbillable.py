"""Usage that Lago would not bill, or not as it should be: whose it is, how much, why, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from reconciler.model.money import plain, usd
from reconciler.model.visible import brief
from reconciler.model.words import count
from reconciler.report.usage import NAMED, Usage, largest, whole

Kind = Literal[
    "no metric", "metric", "no subscription", "not begun", "began later", "ended", "upgraded", "closed period",
    "no charge", "no price", "free", "no cents", "not counted", "currency", "exchanged", "next plan", "time zone",
]  # fmt: skip
"""Why usage is not billed, in a word or two; docs/operations.md has a table of them."""

ON_PURPOSE = frozenset({"free", "exchanged"})
"""What an operator may have meant."""

_MODELS = 3


@dataclass(frozen=True)
class Unbillable:
    """One reason, and all the usage of one meter that it concerns.

    Attributes:
        kind: the reason.
        meter: the meter's name.
        what: what such usage is, a phrase that follows `3 events`.
        cure: what to do, a sentence.
        whose: how much of it each subscription has, by its external id, in USD and events.
        models: the models that it is about, those with the most cost first; empty if it is about all.
        why: more about the reason, a sentence; may be empty.
    """

    kind: Kind
    meter: str
    what: str
    cure: str
    whose: Mapping[str, Usage]
    models: tuple[str, ...] = ()
    why: str = ""

    @property
    def usage(self) -> Usage:
        """All of it."""
        return whole(self.whose)

    @property
    def is_on_purpose(self) -> bool:
        """Whether an operator may have meant it: nobody needs to look."""
        return self.kind in ON_PURPOSE

    @property
    def sentence(self) -> str:
        """All that a person needs: how much, why, whose, the costliest first, and what to do."""
        return f"{self.finding} {self.cure}"

    @property
    def finding(self) -> str:
        """The same without what to do."""
        usage = self.usage
        models = ""
        if self.models:
            more = f" and {count(len(self.models) - _MODELS, 'other')}" if len(self.models) > _MODELS else ""
            models = f" ({', '.join(_name(model) for model in self.models[:_MODELS])}{more})"
        names = ", ".join(f"{_name(name)} ({usd(each.cost)} USD)" for name, each in largest(self.whose))
        more = f", and {count(len(self.whose) - NAMED, 'other')}" if len(self.whose) > NAMED else ""
        amount = f"{count(usage.events, 'event')} ({usd(usage.cost)} USD)"
        return f"{amount} {self.what}{models}: {names}{more}.{f' {self.why}' if self.why else ''}"

    def as_json(self) -> dict[str, Any]:
        """Plain values: money as decimal text in USD; of the names the first few by their cost."""
        usage = self.usage
        return {
            "kind": self.kind,
            "meter": self.meter,
            "what": self.what,
            "why": self.why,
            "cure": self.cure,
            "events": usage.events,
            "cost": plain(usage.cost),
            "subscriptions": len(self.whose),
            "largest": [
                {"external_id": name[:200], "events": each.events, "cost": plain(each.cost)}
                for name, each in largest(self.whose)
            ],
            "models": [model[:200] for model in self.models[:NAMED]],
        }


class Unknown(NamedTuple):
    """What is not known, since Lago does not tell it.

    Attributes:
        about: a name of what: `subscriptions`, `plans` or `time zones`.
        says: what is not known and why, a sentence.
    """

    about: Literal["subscriptions", "plans", "time zones"]
    says: str


@dataclass
class Outlook:
    """What will become of usage in Lago, as far as Lago tells.

    Attributes:
        unbillable: each reason, in the order in which usage meets them on its way to a bill.
        unknown: of how many subscriptions Lago could not be asked.
        untold: what is not known, since the API key may not read it, or Lago does not show it.
    """

    unbillable: list[Unbillable] = field(default_factory=list)
    unknown: int = 0
    untold: list[Unknown] = field(default_factory=list)

    def add(self, other: "Outlook") -> None:
        """Take in another one."""
        self.unbillable += other.unbillable
        self.unknown += other.unknown
        self.untold = list(dict.fromkeys(self.untold + other.untold))


def costliest(models: Mapping[str, Usage]) -> tuple[str, ...]:
    """Models by their cost, the most first."""
    return tuple(sorted(models, key=lambda model: models[model].cost, reverse=True))


def _name(text: str) -> str:
    return brief(text, 100) or "no name"
