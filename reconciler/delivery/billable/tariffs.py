"""Asks Lago by which plans subscriptions go now, and by which they will go: each plan once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError
from reconciler.report.usage import Used, whole

ASKED_ABOUT = 20
"""So many names, those with the most cost, are asked for: one may have prices of its own."""


@dataclass(frozen=True)
class Tariff:
    """A plan, and the usage of those who go by it.

    Attributes:
        code: the plan's.
        plan: as Lago shows it; None if it does not.
        used: the usage of its subscriptions.
        since: the day from when on they go by it, as Lago writes it; None if they do now.
        is_own: whether it is a subscription's own: that plan with other prices.
    """

    code: str
    plan: Thing | None
    used: Used
    since: str | None = None
    is_own: bool = False


@dataclass
class Tariffs:
    """Asks one Lago. Its questions raise what `Lago`'s do.

    A subscription that is asked for by its name shows its plan, with its own prices if it has some; a list does not.

    Attributes:
        lago: who is asked.
        stay: called between two questions.
    """

    lago: Lago
    stay: Callable[[], None]
    _plans: dict[str, Thing | None] = field(default_factory=dict)
    _shown: dict[str, Thing | None] = field(default_factory=dict)

    def of(self, active: Mapping[str, Thing], used: Used) -> Iterator[Tariff]:
        """The tariffs of active subscriptions, and those that follow where a plan is about to change.

        Args:
            active: what Lago has told of each, by external id.
            used: the usage of each.
        """
        self._see(active, used)
        by_code: dict[str, list[str]] = defaultdict(list)
        by_next: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name, one in active.items():
            code, shown = str(one.get("plan_code")), self._shown.get(name)
            if shown and shown.get("parent_id"):
                yield Tariff(code, shown, {name: used[name]}, is_own=True)
            else:
                by_code[code].append(name)
            if following := one.get("next_plan_code"):
                by_next[str(following), str(one.get("downgrade_plan_date"))[:10]].append(name)
        for code, names in by_code.items():
            yield Tariff(code, self._plan(code, names), {name: used[name] for name in names})
        for (code, since), names in by_next.items():
            yield Tariff(code, self._plan(code), {name: used[name] for name in names}, since)

    def unseen(self, names: Iterable[str]) -> int:
        """Of how many of these it is not known whether they have prices of their own."""
        return sum(self._shown.get(name) is None for name in names)

    def _see(self, active: Mapping[str, Thing], used: Used) -> None:
        """See the plans of subscriptions; those with the most cost are asked for, if a list has told of them."""
        self._shown |= {name: plan for name, one in active.items() if (plan := _plan_of(one))}
        costliest = sorted(active, key=lambda name: whole(used[name]).cost, reverse=True)
        for name in costliest[:ASKED_ABOUT]:
            if name not in self._shown:
                self.stay()
                self._shown[name] = None
                with suppress(CantBeAskedError):
                    self._shown[name] = _plan_of(self.lago.subscription(name) or {})

    def _plan(self, code: str, names: Iterable[str] = ()) -> Thing | None:
        """A plan, as one of its subscriptions shows it, or asked for once."""
        if code not in self._plans:
            shown = next((plan for name in names if (plan := self._shown.get(name))), None)
            if shown is None:
                self.stay()
            self._plans[code] = shown or self.lago.plan(code)
        return self._plans[code]


def _plan_of(subscription: Thing) -> Thing | None:
    plan = subscription.get("plan")
    return plan if isinstance(plan, dict) else None
