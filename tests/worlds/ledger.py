"""The ledger's rules of delivery in memory, as sql/delivery has them; test_the_double.py holds the two together."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from reconciler.ledger.batches import Batch, Others, Part
from reconciler.ledger.outbox import LOST
from reconciler.settings.limits import Limits
from tests.worlds.stage import moment, seconds

_NEVER = float("inf")
_HOUR = 3600.0


class Event(NamedTuple):
    """A frozen event; events of a batch are in the order of the first three fields."""

    window: datetime
    bucket: str
    revision: int
    id: str
    payload: str


class Row:
    """A batch as the ledger has it; times are virtual seconds."""

    __slots__ = (
        "answer", "answered_at", "attempted_at", "attempts", "behind", "conflict", "events", "failed_at", "failure",
        "failures", "first_window", "held_for", "id", "leased_until", "open_since", "proof", "rests_until", "state",
    )  # fmt: skip

    def __init__(self, id_: int, events: list[Event], *, behind: bool, held: bool = False) -> None:
        self.id = id_
        self.events = events
        self.first_window = events[0].window
        self.behind = behind
        self.state = "held" if held else "planned"
        self.held_for: str | None = "conflict" if held else None
        self.conflict = False
        self.attempts = 0
        self.failures = 0
        self.proof = 0
        self.leased_until: float | None = None
        self.open_since: float | None = None
        self.rests_until: float | None = None
        self.attempted_at: float | None = None
        self.failed_at: float | None = None
        self.answered_at = -_NEVER
        self.failure: str | None = None
        self.answer: str | None = None


def _nothing() -> None:
    """No mishap."""


class MemoryOutbox:
    """Stands in for `Outbox`: the same methods, the same rules.

    Args:
        clock: the ledger's clock, in seconds.
        limits: how long a lease lasts, and what `near` is.
        ask_after: as `Outbox` has it.
        mishap: called before and after every statement; it may raise.
        taken: told of every batch that is taken.
    """

    meter = "default"
    tries = 3

    def __init__(
        self,
        clock: Callable[[], float],
        limits: Limits,
        *,
        ask_after: timedelta = timedelta(0),
        mishap: Callable[[], None] = _nothing,
        taken: Callable[[Batch], None] = lambda _batch: None,
    ) -> None:
        self.limits = limits
        self.rows: dict[int, Row] = {}
        self.planned: dict[int, Row] = {}
        self._clock = clock
        self._ask_after = ask_after.total_seconds()
        self._mishap = mishap
        self._taken = taken
        self._of: dict[tuple[datetime, str], dict[int, Row]] = {}
        self._healed: list[Row] = []
        self._next = 1
        self._sent: list[Row] = []
        self._accepted_at = float("-inf")

    def plan(self, events: Sequence[Event], *, behind: bool = False, held: bool = False) -> Row:
        """Add a batch: behind earlier revisions that are under way, or held as one of them is in conflict."""
        row = Row(self._next, sorted(events), behind=behind, held=held)
        self._next += 1
        self._put(row)
        return row

    def revisions(self, window: datetime, bucket: str) -> dict[int, Row]:
        """The batches that carry a bucket's events, by revision."""
        return self._of.get((window, bucket), {})

    def take(self, fresh_since: datetime | None = None) -> Batch | None:
        """sql/delivery/take.sql."""
        self._mishap()
        now = self._clock()
        first: Row | None = None
        least: tuple[object, ...] = ()
        for row in self.planned.values():
            if (
                (row.leased_until is None or row.leased_until < now)
                and (row.rests_until is None or row.rests_until < now)
                and (row.open_since is None or row.open_since <= now - self._ask_after)
            ):
                order = self._order(row, fresh_since)
                if (first is None or order < least) and not (row.behind and self._waits(row)):
                    first, least = row, order
        if first is None:
            return None
        lost = first.leased_until is not None
        opened_before = None if first.open_since is None else moment(first.open_since)
        if lost:
            first.failure = LOST
        first.attempts += 1
        first.open_since = first.attempted_at = now
        first.leased_until = now + self.limits.lease
        ids = [event.id for event in first.events]
        batch = Batch(
            id=first.id,
            attempts=first.attempts,
            body='{"events":[' + ",".join([event.payload for event in first.events]) + "]}",
            ids=ids,
            opened_before=opened_before,
            failures=first.failures,
            proof=first.proof,
            lost=lost,
        )
        self._taken(batch)
        self._mishap()
        return batch

    def due_in(self) -> float | None:
        """sql/delivery/due_in.sql."""
        ask_after = self._ask_after
        least = _NEVER
        for row in self.planned.values():
            at = -_NEVER
            if row.behind and self._waits(row):
                continue
            if row.leased_until is not None:
                at = row.leased_until
            if row.rests_until is not None and row.rests_until > at:
                at = row.rests_until
            if row.open_since is not None and row.open_since + ask_after > at:
                at = row.open_since + ask_after
            if -_NEVER < at < least:
                least = at
        return None if least == _NEVER else max(0.0, least - self._clock())

    def others(self, batch: Batch) -> Others:
        """sql/delivery/others.sql."""
        self._mishap()
        this = self.rows[batch.id]
        assert this.attempted_at is not None
        since = this.attempted_at - self.limits.near
        fails = any(
            (row.state == "accepted" or row.failures < self.tries) and row is not this
            for row in (*self.planned.values(), *self._healed)
            if row.failures and row.failed_at is not None and row.failed_at > since
        )
        works = any(row is not this for row in takewhile(lambda row: row.answered_at > since, reversed(self._sent)))
        flaps = any(row is not this and row.answered_at > self._clock() - _HOUR for row in self._healed)
        return Others(works=works, fails=fails, flaps=flaps)

    def accept(self, batch: Batch) -> bool:
        """sql/delivery/accept.sql."""
        self._mishap()
        if (row := self._ours(batch)) is None:
            return False
        self._end(row, "accepted")
        row.leased_until = row.open_since = row.rests_until = None
        self._mishap()
        return True

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
        """sql/delivery/give_back.sql."""
        self._mishap()
        if (row := self._ours(batch)) is None:
            return 0
        now = self._clock()
        row.leased_until = None
        opened_before = None if asked or batch.opened_before is None else seconds(batch.opened_before)
        row.open_since = now if stored else opened_before
        row.failure = words
        others = self._others_in_vain(row)
        if failed:
            row.failures += 1
            row.failed_at = now
        row.proof = batch.proof if proof is None else proof
        row.rests_until = now + rest.total_seconds()
        self._mishap()
        return others

    def split(self, batch: Batch, parts: Sequence[Part], *, asked: bool = False) -> bool:
        """sql/delivery/split.sql, and then sql/delivery/later_revisions.sql for what is in conflict."""
        self._mishap()
        row = self._ours(batch)
        if row is None or len(row.events) != len(batch.ids):
            return False
        opened_before = None if asked or batch.opened_before is None else seconds(batch.opened_before)
        made = self._split(row, parts, opened_before)
        for each in made:
            if each.conflict:
                self._hold_later_revisions(each)
        self._mishap()
        return True

    def _split(self, row: Row, parts: Sequence[Part], opened_before: float | None) -> list[Row]:
        events, now = row.events, self._clock()
        assert sorted(place for part in parts for place in part.places) == list(range(len(events))), "all, and once"
        assert all(part.places for part in parts), "no batch is empty"
        open_since, failure = row.open_since, row.failure
        made: list[Row] = []
        for part in parts:
            some = [events[place] for place in sorted(part.places)]
            if made:
                each = Row(self._next, some, behind=row.behind)
                self._next += 1
                each.attempts, each.attempted_at, each.failed_at = row.attempts, row.attempted_at, row.failed_at
            else:
                each = row
                each.events, each.first_window = some, some[0].window
            made.append(each)
            if part.failure is not None:
                each.failed_at = now
            each.failure = failure if part.failure is None else part.failure
            each.failures = each.proof = 0
            each.leased_until = each.rests_until = None
            each.open_since = None if part.state == "accepted" else open_since if part.open else opened_before
            each.state, each.held_for, each.conflict, each.answer = (
                part.state,
                part.held_for,
                part.conflict,
                part.answer,
            )
            if part.state != "planned":
                self._end(each, part.state, now)
            self._put(each)
        return made

    def _hold_later_revisions(self, conflicting: Row) -> None:
        now = self._clock()
        behind: dict[int, set[tuple[datetime, str, int]]] = {}
        for event in conflicting.events:
            for revision, row in self._of[event.window, event.bucket].items():
                free = row.leased_until is None or row.leased_until < now
                if revision > event.revision and row.state == "planned" and free:
                    behind.setdefault(row.id, set()).add((event.window, event.bucket, revision))
        for id_, keys in behind.items():
            row = self.rows[id_]
            later = [place for place, event in enumerate(row.events) if event[:3] in keys]
            rest = [place for place in range(len(row.events)) if place not in later]
            held = Part(later, "held", held_for="conflict", open=True)
            self._split(row, [held] if not rest else [Part(rest, "planned", open=True), held], None)

    def _others_in_vain(self, row: Row) -> int:
        count = 0
        for other in self.planned.values():
            if other is not row and 1 <= other.failures < self.tries:
                count += other.failed_at is not None and other.failed_at > self._accepted_at
        return count

    def _order(self, row: Row, fresh_since: datetime | None) -> tuple[bool, bool, bool, float, datetime, int]:
        if row.failures >= self.tries:
            rests_until = -_NEVER if row.rests_until is None else row.rests_until
            return True, False, True, rests_until, row.first_window, row.id
        is_old = fresh_since is not None and row.first_window < fresh_since
        return False, is_old, row.failed_at is not None, 0.0, row.first_window, row.id

    def _waits(self, row: Row) -> bool:
        return any(
            earlier < event.revision and (other.state == "planned" or other.conflict)
            for event in row.events
            for earlier, other in self._of[event.window, event.bucket].items()
        )

    def _ours(self, batch: Batch) -> Row | None:
        row = self.rows[batch.id]
        return row if row.attempts == batch.attempts and row.state == "planned" else None

    def _end(self, row: Row, state: str, now: float | None = None) -> None:
        row.state = state
        row.answered_at = self._clock() if now is None else now
        self.planned.pop(row.id, None)
        if state == "accepted":
            self._accepted_at = row.answered_at
            if row.attempts > 0:
                self._sent.append(row)
            if row.failures:
                self._healed.append(row)

    def _put(self, row: Row) -> None:
        self.rows[row.id] = row
        if row.state == "planned":
            self.planned[row.id] = row
        for event in row.events:
            self._of.setdefault((event.window, event.bucket), {})[event.revision] = row
