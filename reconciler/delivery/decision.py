"""What becomes of a batch after Lago's answer: one table, decided from the answer and the batch alone.

`RULES` is the table; docs/delivery.md shows it. A batch that fails in vain goes again at once, three times in a round.
After a round a batch of many is halved; a batch of one rests, and with enough rounds it is proven to be poison.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from reconciler.lago.answers import Accepted, Answer, Away, Barred, Named, Refused, Throttled, TooMany, Unknown
from reconciler.ledger.batches import Batch, Others

TRIES = 3
"""How often in a row a batch goes in vain before anything follows from it: a round."""

BY_LAGO, BY_GATEWAY = 10, 5
"""What one failure proves, by an error or a refusal of Lago's own or by a gateway's, if Lago accepted another batch at
that time and failed none. If it failed another one, as much is taken away: then Lago fails what is healthy."""

PROVEN, PROVEN_OF_A_FLAPPING_LAGO = 90, 150
"""Poison is proven with so much: by 3 rounds of Lago's own, 6 of a gateway's; by 5 and 10 where Lago flaps."""

REST, LONGEST_REST = timedelta(minutes=1), timedelta(hours=1)
"""How long a batch of one rests after a round: a minute at first, twice as long after each that proves something."""


class Try(msgspec.Struct, frozen=True):
    """One try of a batch.

    Attributes:
        batch: as the ledger has it.
        others: how Lago has answered other batches since just before it was taken.
        shortest_rest: how long a batch rests after it failed once.
    """

    batch: Batch
    others: Others = Others()
    shortest_rest: timedelta = timedelta(seconds=1)


class Accept(msgspec.Struct, frozen=True):
    """Lago has all of it."""


class Sort(msgspec.Struct, frozen=True):
    """Lago names the events that it does not take: each goes its own way, and the rest is planned again."""

    faults: Mapping[int, Any]


class Halve(msgspec.Struct, frozen=True):
    """The batch of many is cut in two, which go again; what was seen, unless Lago only takes fewer events."""

    words: str | None = None


class Quarantine(msgspec.Struct, frozen=True):
    """A person has to look at it."""

    words: str


class GiveBack(msgspec.Struct, frozen=True):
    """The batch waits for its next turn as it is: this try said nothing about it."""

    words: str


class Stop(msgspec.Struct, frozen=True):
    """The batch waits, and delivery stops: Lago is away, or it refuses us until a person has mended something."""

    words: str
    away: bool


class GoAgain(msgspec.Struct, frozen=True):
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


def _halve_after_a_round(answer: Unknown, this: Try) -> Decision:
    if this.batch.failures + 1 >= TRIES:
        return Halve(answer.said)
    return GoAgain(answer.said, _short_rest(this), this.batch.proof)


def _convict_or_rest(answer: Unknown | Refused, this: Try) -> Decision:
    proof, weight = this.batch.proof, BY_GATEWAY if isinstance(answer, Unknown) and not answer.lagos else BY_LAGO
    if this.others.fails:
        proof = max(0, proof - weight)
    elif this.others.works:
        proof += weight
    if (this.batch.failures + 1) % TRIES:
        return GoAgain(answer.said, _short_rest(this), proof)
    if proof >= (PROVEN_OF_A_FLAPPING_LAGO if this.others.flaps else PROVEN):
        return Quarantine(f"{answer.said} each time, while Lago takes other events")
    return GoAgain(answer.said, long_rest(proof // (TRIES * weight)), proof)


def _short_rest(this: Try) -> timedelta:
    """How long a batch rests within a round, after one more failure: a second at first, then three."""
    return this.shortest_rest * int(3 ** (this.batch.failures % TRIES))


def long_rest(rounds: int) -> timedelta:
    """How long a batch of one rests after a round, if so many have proved something by now."""
    return min(REST * int(2 ** min(rounds, 10)), LONGEST_REST)


Decide = Callable[[Any, Try], Decision]


class Rule(NamedTuple):
    """One row of the table: what becomes of a batch of many, and of a batch of one.

    Attributes:
        shown: Lago's answer, for people.
        many: what is decided of a batch of many events.
        many_shown: the same, for people.
        one: what is decided of a batch of one event; None if it is the same.
        one_shown: the same, for people.
    """

    shown: str
    many: Decide
    many_shown: str
    one: Decide | None = None
    one_shown: str = "the same"


RULES: Mapping[type[Answer], Rule] = {
    Accepted: Rule("200, Lago's JSON, exactly our ids", lambda _answer, _try: Accept(), "accepted"),
    Named: Rule(
        "422 that names events",
        lambda answer, _try: Sort(answer.faults),
        "sorted: a duplicate is read back and compared (equal: accepted; another: quarantined as a conflict, and the "
        "bucket's later revisions are held; gone: quarantined), an invalid event is quarantined with Lago's words, "
        "the rest goes again",
    ),
    TooMany: Rule(
        "422 `too_many_events`",
        lambda _answer, _try: Halve(),
        "halved, until Lago takes the number",
        lambda _answer, _try: Quarantine("422 too_many_events: it takes no event (LAGO_EVENTS_BATCH_MAX_LENGTH)"),
        "quarantined",
    ),
    Refused: Rule(
        "400, 413, or 422 that names none",
        lambda answer, _try: Halve(answer.said),
        "halved",
        _convict_or_rest,
        "poison if proven, else it rests",
    ),
    Throttled: Rule("429", lambda answer, _try: GiveBack(answer.said), "given back; the pace learns"),
    Barred: Rule(
        "Lago's own 401, 403 or 404",
        lambda answer, _try: Stop(answer.said, away=False),
        "given back; delivery stops, and the sentence names the key, the missing permission or the address",
    ),
    Away: Rule("no connection", lambda answer, _try: Stop(answer.said, away=True), "given back; Lago is away"),
    Unknown: Rule(
        "a time-out, a reset, a 5xx, a redirect, a gateway's page: nobody knows",
        _halve_after_a_round,
        "open; it goes again, and after three tries in a row it is halved",
        _convict_or_rest,
        "open; poison if proven, else it rests",
    ),
}


def decide(answer: Answer, this: Try) -> Decision:
    """Say what becomes of a batch after Lago's answer to this try."""
    rule = RULES[type(answer)]
    return (rule.one if rule.one and len(this.batch.ids) == 1 else rule.many)(answer, this)
