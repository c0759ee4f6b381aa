"""Timings and limits that no operator needs to set; a test replaces those that it is about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Timings in seconds, sizes in bytes or events.

    Attributes:
        batch: the most events in one request; Lago takes 100 (facts: lago section 2).
        request: how long a request to Lago may take before its outcome counts as unknown.
        connect: how long Lago may take to accept a connection.
        careful: how long a Lago that was away may take to answer the first question.
        answer: the largest answer that is read, decoded.
        pause: the wait before a question to Lago is asked again after it failed; it doubles each time.
        lease: how long a taken batch is left to its sender: longer than any request.
        rest: the wait before a batch goes again that failed for the first time.
        near: how long after Lago has accepted a batch it is known to work.
        patience: how long a sender waits for the next batch to be due; what is due later is for the next pass.
        turn: how long a plain pass waits for another to finish its chunk.
        backfill_turn: how long a `--since` waits for each of its turns.
        chunk: how long one chunk of a look should take.
        probe: how long after a probe the next one is due.
        deep: how long after a deep look the next one is due.
        idle: how long a database waits within a transaction for a program that was frozen, beyond the time that one
            statement may take; then it ends the transaction, and with it the meter's turn.
    """

    batch: int = 100
    request: float = 20.0
    connect: float = 5.0
    careful: float = 5.0
    answer: int = 16 * 2**20
    pause: float = 0.2
    lease: float = 80.0
    rest: float = 1.0
    near: float = 10.0
    patience: float = 5.0
    turn: float = 10.0
    backfill_turn: float = 300.0
    chunk: float = 2.0
    probe: float = 3600.0
    deep: float = 86_400.0
    idle: float = 60.0
