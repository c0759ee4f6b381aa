"""Batches as values: one that a sender has taken, one as somebody saw it, and the parts that it is split into."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

State = Literal["planned", "accepted", "quarantined", "discarded", "held"]

CLOSED_PERIOD, CONFLICT = "closed period", "conflict"
"""Why an event is held: Lago will not bill it as it is, or an earlier revision is in conflict."""


class Seen(NamedTuple):
    """A batch as somebody saw it. If it is no longer so, another was quicker, and nothing is done about it.

    Statements that tell of batches which may be split return these columns first.

    Attributes:
        id: its number.
        attempt: how often it had been taken.
        state: its state.
        events: how many it had.
    """

    id: int
    attempt: int
    state: State
    events: int


class Batch(Struct, frozen=True, dict=True):
    """A taken batch, as the ledger had it.

    Attributes:
        id: its number.
        attempts: how often it was taken, this time included; tells this sender from a later one.
        body: what goes to Lago, frozen bytes as text.
        ids: the transaction ids in it, in order.
        opened_before: when an earlier attempt began that Lago may have stored; None if there is none.
        failures: how often in a row it has failed in vain.
        proof: how much proves that Lago chokes on its one event.
        lost: whether an earlier sender had it and never recorded an answer.
        decided: whether a person, or a repair, has had it sent again.
    """

    id: int
    attempts: int
    body: str
    ids: list[str]
    opened_before: datetime | None
    failures: int
    proof: int
    lost: bool
    decided: bool = False

    @property
    def seen(self) -> Seen:
        """It, as its sender sees it."""
        return Seen(self.id, self.attempts, "planned", len(self.ids))

    @cached_property
    def payloads(self) -> list[dict[str, Any]]:
        """The events as values, for comparing."""
        events: list[dict[str, Any]] = json.loads(self.body)["events"]
        return events


class Others(Struct, frozen=True):
    """How Lago answers other batches, which tells poison from a Lago that fails.

    Attributes:
        works: whether it accepted one.
        fails: whether it failed one that does not fail always.
        flaps: whether it has accepted one in the last hour that it had failed before.
    """

    works: bool = False
    fails: bool = False
    flaps: bool = False


class Part(Struct, frozen=True):
    """The events of a batch that share a fate.

    Attributes:
        places: where they are in the batch, from 0 on.
        state: what they are from now on.
        held_for: why they are held, if they are.
        conflict: whether Lago holds other events under their ids.
        answer: Lago's words, or ours.
        failure: why they go again, if they do.
        open: whether the present attempt may have been stored.
        decided_by: who decided, if a person did.
        reason: why.
    """

    places: Sequence[int]
    state: State
    held_for: str | None = None
    conflict: bool = False
    answer: str | None = None
    failure: str | None = None
    open: bool = False
    decided_by: str | None = None
    reason: str | None = None

    @classmethod
    def in_conflict(cls, held: str) -> "Part":
        """Of events under whose ids Lago holds others; `held` tells how these differ. A retry asks Lago first."""
        answer = f"conflict: Lago holds another event under this id: {held}"
        return cls((), "quarantined", conflict=True, answer=answer, open=True)


def together(fates: Mapping[int, Part]) -> list[Part]:
    """The parts of a batch of which the event at each place has a fate, a part without places."""
    places: dict[Part, list[int]] = defaultdict(list)
    for place, fate in sorted(fates.items()):
        places[fate].append(place)
    return [replace(fate, places=some) for fate, some in places.items()]
