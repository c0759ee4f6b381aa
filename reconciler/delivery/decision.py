"""What becomes of a batch after Lago's answer: one table, decided from the answer and the batch alone.

`RULES` is the table; docs/delivery.md shows it. A batch that fails in vain goes again at once, three times in a round.
After a round a batch of many is halved; a batch of one rests, and with enough rounds it is proven to be poison.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from reconciler.lago.answers import (
    Accepted,
    Answer,
    Away,
    Barred,
    Named,
    Refused,
    Throttled,
    TooLarge,
    TooMany,
    Unknown,
)

TRIES = 3
"""How often in a row a batch goes in vain before anything follows from it: a round."""

BY_LAGO, BY_GATEWAY = 10, 5
"""What one failure proves, by an error or a refusal of Lago's own or by a gateway's, if Lago accepted another batch at
that time and failed none. If it failed another one, as much is taken away: then Lago fails what is healthy."""

PROVEN, PROVEN_OF_A_FLAPPING_LAGO = 90, 150
"""Poison is proven with so much: by 3 rounds of Lago's own, 6 of a gateway's; by 5 and 10 where Lago flaps."""

REST, LONGEST_REST = timedelta(minutes=1), timedelta(hours=1)
"""How long a batch of one rests after a round: a minute at first, twice as long after each that proves something."""


class Taken(NamedTuple):
    """What the decision needs to know of a batch, as the ledger has it.

    Attributes:
        events: how many it carries.
        failures: how often in a row it has failed in vain.
        proof: how much proves that Lago chokes on its one event.
        works: whether Lago accepted another batch just before this one was taken, or since.
        fails: whether it failed another one then, that does not fail always.
        flaps: whether it has lately accepted a batch that it had failed before.
        shortest_rest: how long a batch rests after it failed once.
    """

    events: int
    failures: int
    proof: int
    works: bool = False
    fails: bool = False
    flaps: bool = False
    shortest_rest: timedelta = timedelta(seconds=1)


@dataclass(frozen=True)
class Accept:
    """Lago has all of it."""


@dataclass(frozen=True)
class Sort:
    """Lago names the events that it does not take: each goes its own way, and the rest is planned again."""

    faults: dict[int, Any]


@dataclass(frozen=True)
class Halve:
    """The batch of many is cut in two, which go again."""


@dataclass(frozen=True)
class Quarantine:
    """A person has to look at it."""

    words: str


@dataclass(frozen=True)
class GiveBack:
    """The batch waits for its next turn as it is: this try said nothing about it."""

    words: str


@dataclass(frozen=True)
class Stop:
    """The batch waits, and delivery stops: Lago is away, or it refuses us until a person has mended something."""

    words: str
    away: bool


@dataclass(frozen=True)
class GoAgain:
    """The batch goes again after a rest; this try failed in vain.

    Attributes:
        words: what was seen.
        rest: how long it rests.
        proof: how much proves by now that Lago chokes on its one event.
    """

    words: str
    rest: timedelta
    proof: int


Decision = Accept | Sort | Halve | Quarantine | GiveBack | Stop | GoAgain


def _accept(_answer: Any, _batch: Taken) -> Decision:
    return Accept()


def _sort(answer: Named, _batch: Taken) -> Decision:
    return Sort(dict(answer.faults))


def _halve(_answer: Any, _batch: Taken) -> Decision:
    return Halve()


def _too_many(_answer: TooMany, _batch: Taken) -> Decision:
    return Quarantine("422 too_many_events: it takes no event in a batch (LAGO_EVENTS_BATCH_MAX_LENGTH)")


def _wait(_answer: Throttled, _batch: Taken) -> Decision:
    return GiveBack("429, it asks to wait")


def _stop(answer: Away | Barred, _batch: Taken) -> Decision:
    return Stop(answer.said, away=isinstance(answer, Away))


def _halve_after_a_round(answer: Unknown, batch: Taken) -> Decision:
    if batch.failures + 1 >= TRIES:
        return _halve(answer, batch)
    return GoAgain(answer.said, short_rest(batch), batch.proof)


def _convict_or_rest(answer: Unknown | Refused | TooLarge, batch: Taken) -> Decision:
    proof, weight = batch.proof, BY_GATEWAY if isinstance(answer, Unknown) and not answer.lagos else BY_LAGO
    if batch.fails:
        proof = max(0, proof - weight)
    elif batch.works:
        proof += weight
    if (batch.failures + 1) % TRIES:
        return GoAgain(answer.said, short_rest(batch), proof)
    if proof >= (PROVEN_OF_A_FLAPPING_LAGO if batch.flaps else PROVEN):
        return Quarantine(f"{answer.said} each time, while Lago takes other events")
    return GoAgain(answer.said, long_rest(proof // (TRIES * weight)), proof)


def short_rest(batch: Taken) -> timedelta:
    """How long a batch rests within a round, after one more failure: a second at first, then three."""
    return batch.shortest_rest * int(3 ** (batch.failures % TRIES))


def long_rest(rounds: int) -> timedelta:
    """How long a batch of one rests after a round, if so many have proved something by now."""
    return min(REST * int(2 ** min(rounds, 10)), LONGEST_REST)


Decide = Callable[[Any, Taken], Decision]


@dataclass(frozen=True)
class Rule:
    """One row of the table: what becomes of a batch of many, and of a batch of one.

    Attributes:
        answer: the meaning of Lago's answer.
        shown: that answer, for people.
        many: what is decided of a batch of many events.
        many_shown: the same, for people.
        one: what is decided of a batch of one event.
        one_shown: the same, for people.
    """

    answer: type[Any]
    shown: str
    many: Decide
    many_shown: str
    one: Decide
    one_shown: str


_SAME = "the same"

RULES = (
    Rule(Accepted, "200, Lago's JSON, exactly our ids", _accept, "accepted", _accept, _SAME),
    Rule(
        Named,
        "422 that names events",
        _sort,
        "sorted: a duplicate is read back and compared (equal: accepted; another: quarantined as a conflict, and the "
        "bucket's later revisions are held; gone: quarantined), an invalid event is quarantined with Lago's words, "
        "the rest goes again",
        _sort,
        _SAME,
    ),
    Rule(
        TooMany,
        "422 `too_many_events`",
        _halve,
        "halved, until Lago takes the number",
        _too_many,
        "quarantined",
    ),
    Rule(
        TooLarge,
        "413",
        _halve,
        "halved, until the size is taken",
        _convict_or_rest,
        "poison if proven, else it rests",
    ),
    Rule(
        Refused,
        "400, or 422 that names none",
        _halve,
        "halved",
        _convict_or_rest,
        "poison if proven, else it rests",
    ),
    Rule(Throttled, "429", _wait, "given back; the pace learns", _wait, _SAME),
    Rule(
        Barred,
        "Lago's own 401, 403 or 404",
        _stop,
        "given back; delivery stops, and the sentence names the key, the missing permission or the address",
        _stop,
        _SAME,
    ),
    Rule(Away, "no connection", _stop, "given back; Lago is away", _stop, _SAME),
    Rule(
        Unknown,
        "a time-out, a reset, a 5xx, a redirect, a gateway's page: nobody knows",
        _halve_after_a_round,
        "open; it goes again, and after three tries in a row it is halved",
        _convict_or_rest,
        "open; poison if proven, else it rests",
    ),
)

_RULE_OF = {rule.answer: rule for rule in RULES}


def decide(answer: Answer, batch: Taken) -> Decision:
    """Say what becomes of a batch after Lago's answer to it."""
    rule = _RULE_OF[type(answer)]
    return (rule.many if batch.events > 1 else rule.one)(answer, batch)
