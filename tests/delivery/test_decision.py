"""What becomes of a batch after each answer, as a table: of many events, and of one."""

from datetime import timedelta

import pytest

from reconciler.delivery.decision import (
    LONGEST_REST,
    RULES,
    Accept,
    Decision,
    GiveBack,
    GoAgain,
    Halve,
    Quarantine,
    Sort,
    Stop,
    Try,
    decide,
    long_rest,
)
from reconciler.lago.answers import (
    DUPLICATE,
    Accepted,
    Answer,
    Away,
    Barred,
    Named,
    Refused,
    Throttled,
    TooMany,
    Unknown,
)
from reconciler.ledger.batches import Batch, Others

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LAGOS, GATEWAYS = Unknown("it answers 500", lagos=True), Unknown("it answers 502")
REFUSED, TOO_LARGE = Refused("400"), Refused("413, too large")


def batch(events: int = 1, failures: int = 0, proof: int = 0, *, works: bool = True) -> Try:
    ids = [f"r1_{number}" for number in range(events)]
    taken = Batch(1, 1, "", ids, opened_before=None, failures=failures, proof=proof, lost=False)
    return Try(taken, Others(works=works))


SAME: list[tuple[Answer, Decision]] = [
    (Accepted(), Accept()),
    (Named({0: DUPLICATE}), Sort({0: DUPLICATE})),
    (Throttled(60), GiveBack("429, it asks to wait")),
    (Barred("it answers 401"), Stop("it answers 401", away=False)),
    (Away("no connection"), Stop("no connection", away=True)),
]


@pytest.mark.parametrize(("answer", "decision"), SAME, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("events", [1, 100])
def test_what_is_the_same_for_many_and_one(answer: Answer, decision: Decision, events: int) -> None:
    assert decide(answer, batch(events, failures=2, proof=20)) == decision


@pytest.mark.parametrize("answer", [TooMany(), TOO_LARGE, REFUSED], ids=str)
@pytest.mark.parametrize("events", [100, 2])
def test_what_lago_does_not_take_at_once_is_halved(answer: Answer, events: int) -> None:
    assert decide(answer, batch(events)) == Halve(getattr(answer, "said", None))


@pytest.mark.parametrize("answer", [LAGOS, GATEWAYS])
def test_a_batch_of_many_that_goes_in_vain_is_halved_after_three_tries(answer: Unknown) -> None:
    assert decide(answer, batch(10, failures=0)) == GoAgain(answer.said, SECOND, 0)
    assert decide(answer, batch(10, failures=1)) == GoAgain(answer.said, 3 * SECOND, 0)
    assert decide(answer, batch(10, failures=2)) == Halve(answer.said)


ROUNDS: dict[str, tuple[Answer, int]] = {
    "Lago's own errors": (LAGOS, 3),
    "a gateway's": (GATEWAYS, 6),
    "refusals": (REFUSED, 3),
    "bodies that are too large": (TOO_LARGE, 3),
}


@pytest.mark.parametrize(("answer", "rounds"), ROUNDS.values(), ids=ROUNDS)
def test_poison_is_proven_by_rounds_while_lago_takes_others(answer: Answer, rounds: int) -> None:
    proof = ended = 0
    for failures in range(3 * rounds):
        decision = decide(answer, batch(failures=failures, proof=proof))
        if isinstance(decision, Quarantine):
            assert "while Lago takes other events" in decision.words
            assert failures == 3 * rounds - 1
            return
        assert isinstance(decision, GoAgain)
        ended += decision.rest >= MINUTE
        proof = decision.proof
    pytest.fail(f"{ended} rounds and no end")


@pytest.mark.parametrize("answer", [LAGOS, GATEWAYS, REFUSED, TOO_LARGE], ids=str)
def test_what_fails_while_lago_takes_nothing_else_proves_nothing(answer: Answer) -> None:
    for failures in range(100):
        decision = decide(answer, batch(failures=failures, proof=20, works=False))
        assert isinstance(decision, GoAgain)
        assert decision.proof == 20


def test_one_event_of_a_lago_that_takes_none_in_a_batch_is_quarantined() -> None:
    decision = decide(TooMany(), batch())
    assert isinstance(decision, Quarantine)
    assert "LAGO_EVENTS_BATCH_MAX_LENGTH" in decision.words


def test_rests_double_with_each_round_that_proves_something_up_to_an_hour() -> None:
    assert [long_rest(rounds) for rounds in (0, 1, 2)] == [MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert long_rest(6) == long_rest(10_000) == LONGEST_REST == timedelta(hours=1)


def test_every_answer_has_a_row() -> None:
    assert set(RULES) == set(Answer.__args__)
    assert all(rule.shown and rule.many_shown and rule.one_shown for rule in RULES.values())
