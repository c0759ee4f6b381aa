"""Chance: to which of the requests or events that pass by something happens, told by count, odds or name.

The same seed and the same order of what passes by give the same hits, so a run with odds can be played again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Named(NamedTuple):
    """What an event in a request is called, whatever else is wrong with it."""

    transaction_id: str
    external_subscription_id: str


class Chance(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """To whom something happens. Of a request with many events, one that fits is enough.

    Attributes:
        count: how many times, None until cleared; by default once, with a probability until cleared.
        probability: how likely, of all that fit otherwise.
        seed: what the odds are drawn from.
        transaction_id: only what carries that event.
        transaction_id_prefix: only what carries an event whose id begins so.
        external_subscription_id: only what carries an event of that subscription.
    """

    count: Positive | msgspec.UnsetType | None = msgspec.UNSET
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: int = 0
    transaction_id: str | None = None
    transaction_id_prefix: str | None = None
    external_subscription_id: str | None = None

    def __post_init__(self) -> None:
        if self.count is msgspec.UNSET:
            self.count = 1 if self.probability is None else None

    @property
    def names_events(self) -> bool:
        """Whether it asks for an event at all."""
        wanted = (self.transaction_id, self.transaction_id_prefix, self.external_subscription_id)
        return any(name is not None for name in wanted)

    def fits(self, event: Named) -> bool:
        """Tell whether an event is one of those asked for."""
        return (
            self.transaction_id in {None, event.transaction_id}
            and event.transaction_id.startswith(self.transaction_id_prefix or "")
            and self.external_subscription_id in {None, event.external_subscription_id}
        )


ChanceT = TypeVar("ChanceT", bound=Chance)


@dataclass
class _Armed(Generic[ChanceT]):
    what: ChanceT
    draws: Random

    def strikes(self) -> bool:
        return self.what.probability is None or self.draws.random() < self.what.probability


class Chances(Generic[ChanceT]):
    """What may still happen, in the order given."""

    def __init__(self) -> None:
        self._armed: list[_Armed[ChanceT]] = []

    def __bool__(self) -> bool:
        return bool(self._armed)

    def add(self, chances: list[ChanceT]) -> None:
        """Append some."""
        self._armed += [_Armed(chance, Random(chance.seed)) for chance in chances]  # noqa: S311 -- to be repeatable

    def pending(self) -> list[ChanceT]:
        """Return what may still happen."""
        return [armed.what for armed in self._armed]

    def clear(self) -> None:
        """Let nothing happen any more."""
        self._armed = []

    def take(self, fits: Callable[[ChanceT], bool]) -> ChanceT | None:
        """Return the first that fits and strikes, if any, and count it."""
        hit = next((armed for armed in self._armed if fits(armed.what) and armed.strikes()), None)
        if hit is None:
            return None
        if isinstance(hit.what.count, int):
            hit.what.count -= 1
            if not hit.what.count:
                self._armed.remove(hit)
        return hit.what
