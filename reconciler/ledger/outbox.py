"""The ledger's side of delivery: batches are taken, and what became of them is recorded, one statement each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import structlog
from msgspec.structs import asdict, replace
from psycopg.rows import class_row
from sqlalchemy import Connection

from reconciler.database.postgres import execute
from reconciler.database.statements import statement
from reconciler.ledger.batches import CONFLICT, Batch, Others, Part, Seen
from reconciler.ledger.store import Ledger
from reconciler.settings.limits import Limits

LOST = "its sender was lost before an answer was recorded"
ADMISSION = timedelta(minutes=15)
"""How long the gate's word holds that a batch may go."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger("reconciler")


@dataclass(frozen=True)
class Outbox:
    """One meter's batches on their way.

    Attributes:
        meter: its name.
        lago: the address that it sends to.
        ledger: where the batches are.
        limits: how long a lease lasts.
        ask_after: how long after an attempt without an answer a batch is left alone, so that Lago can be asked what
            became of it; 0 if it may go again at once.
        tries: how many failures in a row make a round.
        only: the batches that are taken; None takes any.
    """

    meter: str
    lago: str
    ledger: Ledger
    limits: Limits
    ask_after: timedelta = timedelta(0)
    tries: int = 3
    only: Sequence[int] | None = None

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        """What every statement may name."""
        return {
            "meter": self.meter,
            "lago": self.lago,
            "ask_after": self.ask_after,
            "admission": ADMISSION,
            "tries": self.tries,
            "only": None if self.only is None else list(self.only),
            "lease": timedelta(seconds=self.limits.lease),
            "near": timedelta(seconds=self.limits.near),
            "lost": LOST,
        }

    def take(self, fresh_since: datetime | None = None) -> Batch | None:
        """Take the oldest batch that is due, for a lease; None if there is none.

        The attempt is committed before the request: whatever happens to the sender, the next one finds it. What has
        failed goes after what has not: what Lago takes before it shows whether Lago works, and no poison keeps new
        events from Lago.

        Args:
            fresh_since: windows from here on go first.
        """
        begins = [BEGINNING] if fresh_since is None else [fresh_since, BEGINNING]
        turns = [(begin, rank) for begin in begins for rank in (0, 1)]
        for some, in_turn in ((turns, False), ([(BEGINNING, 2)], True)):
            values = {"since": [begin for begin, _ in some], "ranks": [rank for _, rank in some], "in_turn": in_turn}
            parts = {"waits": statement("delivery/waits"), "event_id": statement("ledger/event_id")}
            found: list[Batch] = self.ledger.once("delivery/take", self._fixed | values, class_row(Batch), **parts)
            for batch in found:
                if batch.lost:
                    events, first = len(batch.ids), batch.ids[0]
                    log.info("events are taken again", meter=self.meter, events=events, first=first, reason=LOST)
                return batch
        return None

    def due_in(self) -> float | None:
        """How many seconds until the next batch is due; None if none waits."""
        [(due_in,)] = self.ledger.once("delivery/due_in", self._fixed, waits=statement("delivery/waits"))
        return None if due_in is None else max(0.0, due_in.total_seconds())

    def others(self, batch: Batch) -> Others:
        """How Lago has answered other batches since just before this one was taken."""
        found: list[Others] = self.ledger.once("delivery/others", self._fixed | {"id": batch.id}, class_row(Others))
        return found[0]

    def accept(self, batch: Batch) -> bool:
        """Record that Lago has all of a batch; say whether it was still this sender's."""
        return bool(self.ledger.once("delivery/accept", {"id": batch.id, "attempt": batch.attempts}))

    def give_back(
        self,
        batch: Batch,
        words: str | None,
        *,
        stored: bool = False,
        asked: bool = False,
        failed: bool = False,
        proof: int | None = None,
        rest: timedelta = timedelta(0),
    ) -> int:
        """Let a batch without an answer wait for its next turn.

        Args:
            batch: which.
            words: what was seen; None if nothing was.
            stored: whether Lago may have stored it, so that the attempt stays open.
            asked: whether Lago was asked what became of earlier attempts, so that none stays open.
            failed: whether this try failed in vain.
            proof: how much proves by now that its one event is poison; None leaves it.
            rest: how long it rests.

        Returns:
            How many other batches have failed in vain since Lago last accepted one.
        """
        values = {
            "id": batch.id,
            "attempt": batch.attempts,
            "stored": stored,
            "opened_before": None if asked else batch.opened_before,
            "failure": _storable(words),
            "failed": failed,
            "proof": batch.proof if proof is None else proof,
            "rest": rest,
        }
        found = self.ledger.once("delivery/give_back", self._fixed | values)
        return found[0][0] if found else 0

    def split(self, batch: Batch, parts: Sequence[Part], *, asked: bool = False) -> bool:
        """Let the events of a taken batch part ways; what is in conflict holds the later revisions of its buckets.

        Args:
            batch: which.
            parts: at least one; every event is in just one of them.
            asked: whether Lago was asked what became of earlier attempts, so that none stays open.

        Returns:
            Whether the batch was still this sender's.
        """
        opened_before = None if asked else batch.opened_before
        with self.ledger.transaction() as connection:
            made = split(connection, batch.seen, parts, opened_before=opened_before)
            if conflicting := [id_ for part, id_ in zip(parts, made, strict=False) if part.conflict]:
                hold_later_revisions(connection, conflicting)
        return bool(made)


def split(
    connection: Connection,
    seen: Seen,
    parts: Sequence[Part],
    *,
    moved: Mapping[int, str] | None = None,
    opened_before: datetime | None = None,
) -> list[int]:
    """Let the events of a batch part ways.

    Args:
        connection: the ledger's transaction.
        seen: the batch.
        parts: at least one; every event is in just one of them.
        moved: the timestamps that events at these places get, of a batch that was never on its way.
        opened_before: since when an attempt before this one is open, if this one was certainly not stored.

    Returns:
        The batches of the parts, in order; nothing if another was quicker, and nothing was done.
    """
    batch = seen._asdict()
    if moved:
        values = batch | {"places": list(moved), "stamps": list(moved.values())}
        if not execute(connection, "delivery/move_events", values).rowcount:
            return []
    values = batch | {"opened_before": opened_before, "parts": json.dumps([_plain(part) for part in parts])}
    return [id_ for _, id_ in execute(connection, "delivery/split", values)]


def split_off(
    connection: Connection, seen: Seen, parts: Sequence[Part], *, stays: Part, moved: Mapping[int, str] | None = None
) -> list[int]:
    """Let some events of a batch go their own ways, and the rest stay what it is.

    Args:
        connection: the ledger's transaction.
        seen: the batch.
        parts: those that go.
        stays: what the batch is; its places are those that no part names.
        moved: as `split` has it.

    Returns:
        The batches of the parts, in order; nothing if another was quicker, and nothing was done.
    """
    rest = sorted(set(range(seen.events)).difference(*(part.places for part in parts)))
    remaining = [replace(stays, places=rest)] if rest else []
    return split(connection, seen, [*remaining, *parts], moved=moved)[len(remaining) :]


def hold_later_revisions(connection: Connection, conflicting: Sequence[int]) -> None:
    """Hold the planned events behind those of batches in conflict: their buckets send nothing more until then."""
    later = execute(connection, "delivery/later_revisions", {"batches": conflicting}).fetchall()
    for *seen, places in later:
        held = Part(places, "held", held_for=CONFLICT, open=True)
        split_off(connection, Seen(*seen), [held], stays=Part((), "planned", open=True))


def _plain(part: Part) -> Mapping[str, Any]:
    words = {"answer": _storable(part.answer), "failure": _storable(part.failure)}
    return asdict(part) | {"places": list(part.places)} | words


def _storable(said: str | None) -> str | None:
    """A NUL can't be stored, nor half a surrogate pair; whoever answered with one is quoted without it."""
    return None if said is None else said.replace("\x00", "").encode("utf-8", "replace").decode()
