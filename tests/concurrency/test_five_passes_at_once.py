"""Five real passes at once, one of them a backfill, while the proxy writes: exact, and no event twice."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model import windows
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.crash.runner import Reconcile
from tests.support import EVENTS, assert_exact, end_leases, environment, let_time_pass, reconcile

HOUR = timedelta(hours=1)
SEED = int(os.environ.get("CRASH_SEED", "1"))


class World:
    """A proxy that was in use for eight hours, of which five are billed from the start and three are backfilled."""

    def __init__(self, source: Database, ledger: Database, lago: Sandbox, seed: int) -> None:
        self.random = random.Random(seed)
        self.source = source
        self.ledger = ledger
        self.lago = lago
        self.environ = environment(source, lago, ledger=None if ledger is source else ledger)
        self.start = windows.floor(datetime.now(UTC) - 5 * HOUR, timedelta(minutes=15))
        self.begin = self.start - 3 * HOUR
        self.write(60)
        reconcile(self.environ, since=f"{self.start:%Y-%m-%dT%H:%M:%SZ}")

    def write(self, count: int) -> None:
        """Let rows arrive, most of them late."""
        span = (datetime.now(UTC) - self.begin) / timedelta(seconds=1)
        self.source.insert(
            *(
                spend_row(
                    startTime=self.begin + timedelta(seconds=self.random.uniform(0, span)),
                    end_user=self.random.choice(["acme", "globex", "O'Brien", "🦊-labs", "", None]),
                    model=self.random.choice(["gpt-4o", "claude"]),
                    spend=self.random.randrange(1, 10**6) * 1e-9,
                )
                for _ in range(count)
            )
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let rows arrive all the while."""
        done = threading.Event()

        def write() -> None:
            while not done.wait(0.1):
                self.write(10)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            done.set()
            writer.join()

    def start_five(self, running: ExitStack) -> list[Reconcile]:
        """Start four plain passes, for which a probe is due, and a backfill."""
        let_time_pass(self.ledger, "2 hours")
        begin, start = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (self.begin, self.start))
        commands: list[tuple[str, ...]] = [(), (), (), (), ("--since", begin, "--until", start)]
        self.random.shuffle(commands)
        return [running.enter_context(Reconcile(self.environ, *command)) for command in commands]

    def settle(self) -> None:
        """Let what was cut off be done, and what arrived last be found; then see that the bill is exact."""
        end_leases(self.ledger)
        begin, start = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (self.begin, self.start))
        reconcile(self.environ, since=begin, until=start)
        let_time_pass(self.ledger, "2 days")
        assert reconcile(self.environ).exit_code == 0
        assert_exact(self.source, self.lago, ledger=self.ledger)

    def times_sent(self) -> Counter[str]:
        """How often each event went to Lago."""
        return Counter(id_ for request in self.lago.requests() for id_ in request["ids"])


@pytest.mark.proof(seconds=10)
def test_five_passes_at_once_send_every_event_exactly_once(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    print(f"CRASH_SEED={SEED}")
    world = World(proxy_db, ledger, lago, SEED)
    for _ in range(2):
        with world.writing(), ExitStack() as running:
            ended = [(process.wait(), process.err) for process in world.start_five(running)]
        assert ended == [(0, "")] * 5

    world.settle()
    sent = world.times_sent()
    assert len(sent) == len(lago.events()) > 60
    assert set(sent.values()) == {1}


@pytest.mark.proof(seconds=10)
def test_passes_killed_at_random_leave_the_bill_exact(proxy_db: Database, ledger: Database, lago: Sandbox) -> None:
    print(f"CRASH_SEED={SEED}")
    world = World(proxy_db, ledger, lago, SEED)
    codes: Counter[int] = Counter()
    for _ in range(3):
        with world.writing(), ExitStack() as running:
            processes = world.start_five(running)
            began = time.monotonic()
            kills = sorted((world.random.uniform(0.05, 1.5), process) for process in processes[:4])
            for moment, process in kills:
                time.sleep(max(0.0, began + moment - time.monotonic()))
                process.kill()
            codes.update(process.wait() for process in processes)
    print(f"exit codes: {dict(codes)}")
    assert codes.keys() <= {0, -9}
    assert codes[-9] >= 3

    world.settle()
    # An event goes again only if its sender was killed before it wrote down the answer, or as a neighbour of such.
    taken_again = {
        id_ for (id_,) in ledger.fetch(f"SELECT payload::json ->> 'transaction_id' FROM {EVENTS} WHERE attempts > 1")
    }
    neighbours = {
        id_
        for request in lago.requests()
        if request["status"] == 422 and taken_again.intersection(request["ids"])
        for id_ in request["ids"]
    }
    assert {id_ for id_, times in world.times_sent().items() if times > 1} <= taken_again | neighbours
