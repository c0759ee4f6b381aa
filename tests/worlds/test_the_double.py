"""The ledger of the worlds and the real one go through the same histories, and stand the same after each step."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from time import time
from typing import Any

import psycopg
import pytest

from reconciler.ledger.batches import Batch, Part
from reconciler.ledger.outbox import Outbox
from reconciler.ledger.store import Ledger, open_ledger
from reconciler.settings.limits import Limits
from reconciler.settings.load import load_settings
from tests.conftest import Database
from tests.worlds.ledger import Event, MemoryOutbox, Row
from tests.worlds.stage import EPOCH

LIMITS = Limits(lease=1000, near=310, rest=100)
LAGO = "https://lago"
HISTORIES, STEPS, CHUNKS = 16, 30, 2
JUMPS = (11, 111, 311, 1103)
"""Seconds; with what senders record, no moment comes so near to another that a slow machine could swap them."""

TIMES = ("leased_until", "rests_until", "open_since", "failed_at", "attempted_at", "answered_at")
COLUMNS = ("id", "state", "held_for", "conflict", "behind", "attempts", "failures", "proof", "failure", "answer")


@pytest.fixture
def ledger(proxy_db: Database) -> Iterator[Ledger]:
    environ = {
        "DATABASE_URL": proxy_db.url,
        "LAGO_API_BASE": LAGO,
        "LAGO_API_KEY": "key",
        "LAGO_API_EVENT_CODE": "tokens",
        "LAGO_API_CHARGE_BY": "end_user_id",
    }
    ledger = open_ledger(load_settings(environ=environ))
    ledger.upgrade()
    yield ledger
    ledger.close()


class History:
    """One seed's history, in both ledgers at once."""

    def __init__(self, seed: int, ledger: Ledger, connection: psycopg.Connection[Any]) -> None:
        self.random = Random(seed)
        self._ahead = 0.0
        self._connection = connection
        self._events = 0
        ask_after = timedelta(seconds=self.random.choice((0, 0, 230)))
        self.memory = MemoryOutbox(self._now, LIMITS, ask_after=ask_after)
        self.real = Outbox("default", LAGO, ledger, LIMITS, ask_after=ask_after)
        self.taken: list[tuple[Batch, Batch]] = []
        self._fetch("TRUNCATE reconciler.event, reconciler.batch, reconciler.meter")
        self._fetch("ALTER SEQUENCE reconciler.batch_id RESTART")
        self._fetch(
            "INSERT INTO reconciler.meter (name, start, watermark, source, lago) VALUES ('default', %s, %s, '{}', %s)",
            EPOCH,
            EPOCH,
            LAGO,
        )

    def step(self) -> None:
        """Do one thing in both."""
        random = self.random
        match random.choice(("plan", "jump", "take", "take", "take", "record", "record", "record")):
            case "plan":
                self._plan()
            case "jump":
                self._jump(random.choice(JUMPS))
            case "take":
                since = EPOCH - timedelta(seconds=random.choice((900 * 50, 900 * 2)))
                ours, theirs = self.memory.take(since), self.real.take(since)
                assert _content(ours) == _content(theirs)
                if ours and theirs:
                    self.taken.append((ours, theirs))
            case "record" if self.taken:
                place = random.randrange(len(self.taken))
                pair = (
                    self.taken.pop(place) if random.random() < 0.8 else self.taken[place]
                )  # else it is recorded twice
                self._record(*pair)
        ours_due, theirs_due = self.memory.due_in(), self.real.due_in()
        assert (ours_due is None) == (theirs_due is None)
        assert ours_due == theirs_due or abs((ours_due or 0) - (theirs_due or 0)) < 5

    def compare(self) -> None:
        """Both stand the same; and every batch's sums are its events'."""
        now = self._now()
        assert [_row(row, now) for _, row in sorted(self.memory.rows.items())] == self._rows()
        wrong = self._fetch(
            """SELECT batch.id
               FROM reconciler.batch LEFT JOIN reconciler.event ON event.batch = batch.id
               GROUP BY batch.id
               HAVING batch.events IS DISTINCT FROM count(event.batch)
                   OR batch.cost IS DISTINCT FROM sum(event.cost)
                   OR batch.input_tokens IS DISTINCT FROM sum(event.input_tokens)
                   OR batch.output_tokens IS DISTINCT FROM sum(event.output_tokens)
                   OR batch.requests IS DISTINCT FROM sum(event.requests)
                   OR batch.first_window IS DISTINCT FROM min(event.window_start)
                   OR batch.last_window IS DISTINCT FROM max(event.window_start)"""
        )
        assert not wrong, "sums"

    def _record(self, ours: Batch, theirs: Batch) -> None:
        random = self.random
        assert self.memory.others(ours) == self.real.others(theirs)
        match random.choice(("accept", "accept", "give back", "give back", "give back", "split", "ask")):
            case "accept":
                assert self.memory.accept(ours) == self.real.accept(theirs)
            case "give back":
                options: dict[str, Any] = {
                    "stored": random.random() < 0.5,
                    "failed": random.random() < 0.8,
                    "proof": random.choice((None, 10, 20)),
                    "rest": timedelta(seconds=random.choice((0, 100))),
                }
                words = random.choice((None, "500"))
                assert self.memory.give_back(ours, words, **options) == self.real.give_back(theirs, words, **options)
            case "split":
                parts = self._parts(len(ours.ids))
                assert self.memory.split(ours, parts) == self.real.split(theirs, parts)
            case "ask":
                parts = [Part(range(len(ours.ids)), "planned")]
                assert self.memory.split(ours, parts, asked=True) == self.real.split(theirs, parts, asked=True)

    def _parts(self, size: int) -> list[Part]:
        random = self.random
        places = list(range(size))
        random.shuffle(places)
        cuts = sorted({0, size, *(random.randrange(size + 1) for _ in range(random.choice((0, 1, 1, 2))))})
        fates = (
            Part((), "planned", failure="cut", open=True),
            Part((), "planned"),
            Part((), "accepted"),
            Part((), "quarantined", answer="422"),
            Part((), "quarantined", answer="conflict", conflict=True),
        )
        chosen = [(random.choice(fates), sorted(places[a:b])) for a, b in itertools.pairwise(cuts)]
        return [
            Part(some, fate.state, conflict=fate.conflict, answer=fate.answer, failure=fate.failure, open=fate.open)
            for fate, some in chosen
        ]

    def _plan(self) -> None:
        random = self.random
        known = [event for row in self.memory.rows.values() for event in row.events]
        behind = bool(known) and random.random() < 0.4
        events: list[Event] = []
        for _ in range(random.choice((1, 2, 5))):
            if behind:
                earlier = random.choice(known)
                revision = max(self.memory.revisions(earlier.window, earlier.bucket)) + 1
                key = earlier.window, earlier.bucket, revision
            else:
                key = EPOCH - timedelta(seconds=900 * random.randint(1, 30)), f"{self._events:064x}", 0
            if any(event[:3] == key for event in events):
                continue
            self._events += 1
            id_ = f"r1_{self._events:064x}"
            payload = f'{{"transaction_id":"{id_}","properties":{{"revision":{key[2]}}}}}'
            events.append(Event(*key, id_, payload))
        row = self.memory.plan(events, behind=behind)
        self._insert(row)

    def _insert(self, row: Row) -> None:
        for event in row.events:
            self._fetch(
                """INSERT INTO reconciler.event (meter, window_start, bucket, revision, batch, customer, model,
                                                 input_tokens, output_tokens, cost, requests, subscription, payload)
                   VALUES ('default', %s, %s, %s, %s, 'c', 'm', %s, 2, 0.1, 1, 'c', %s)""",
                event.window,
                bytes.fromhex(event.bucket),
                event.revision,
                row.id,
                row.id,
                event.payload,
            )
        self._fetch(
            """INSERT INTO reconciler.batch (meter, first_window, last_window, events, input_tokens, output_tokens,
                                             requests, cost, behind, asked_at, admitted_at)
               SELECT meter, min(window_start), max(window_start), count(*), sum(input_tokens), sum(output_tokens),
                      sum(requests), sum(cost), %s, clock_timestamp(), clock_timestamp() + interval '1 year'
               FROM reconciler.event WHERE batch = %s GROUP BY meter""",
            row.behind,
            row.id,
        )

    def _fetch(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def _jump(self, seconds: float) -> None:
        self._ahead += seconds
        shifted = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in TIMES)
        self._fetch(f"UPDATE reconciler.batch SET {shifted}")

    def _now(self) -> float:
        return time() - EPOCH.timestamp() + self._ahead

    def _rows(self) -> list[dict[str, Any]]:
        columns = ", ".join(f"batch.{name}" for name in COLUMNS)
        times = ", ".join(f"extract(epoch FROM batch.{name} - clock_timestamp())::float8" for name in TIMES)
        rows = self._fetch(
            f"""SELECT {columns}, {times}, array_agg(substr(payload, 20, 67) ORDER BY window_start, bucket, revision)
                FROM reconciler.batch JOIN reconciler.event ON event.batch = batch.id GROUP BY batch.id ORDER BY id"""
        )
        found = []
        for row in rows:
            values = dict(zip((*COLUMNS, *TIMES, "ids"), row, strict=True))
            found.append(values)
        return found


def _row(row: Row, now: float) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    for name in TIMES:
        at = getattr(row, name)
        at = None if at == float("-inf") else at
        values[name] = None if at is None else pytest.approx(at - now, abs=5)  # a slow machine takes a while in between
    return values | {"ids": [event.id for event in row.events]}


def _content(batch: Batch | None) -> Sequence[Any] | None:
    if batch is None:
        return None
    opened = batch.opened_before is not None
    return batch.id, batch.attempts, batch.body, batch.ids, opened, batch.failures, batch.proof, batch.lost


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_both_ledgers_stand_the_same_after_each_step(chunk: int, ledger: Ledger, proxy_db: Database) -> None:
    with proxy_db.connect() as connection:
        for seed in range(chunk, HISTORIES, CHUNKS):
            history = History(seed, ledger, connection)
            for _ in range(STEPS):
                history.step()
                history.compare()
