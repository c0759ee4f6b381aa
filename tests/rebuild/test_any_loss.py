"""Two hundred histories: whatever was billed, killed, lost or restored, after a rebuild Lago counts what was used.

`REBUILD_SEED=17` replays one of them.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from reconciler.model.errors import ReconcileError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.crash.steps import LASTING, Crash, Steps, counted, crash
from tests.rebuild.conftest import rebuild
from tests.support import (
    BATCH,
    STORES,
    environment,
    let_minutes_pass,
    let_time_pass,
    make_metric,
    reconcile,
    start_over,
    used,
    window,
)
from tests.support import counted as counted_by_lago

HISTORIES, CHUNKS = 200, 4
SEEDS = [int(os.environ["REBUILD_SEED"])] if "REBUILD_SEED" in os.environ else range(HISTORIES)

_KEPT = ("meter", "terms", "window", "event", "batch", "lago", "subscription", "unsubscribed", "look", "run", "alarm")
_EMPTIED = " ".join(f"DELETE FROM reconciler.{name};" for name in _KEPT)
_STEPS = 45
"""About so many steps of a pass, or of a rebuild, last."""


class History:
    """One history, all of it drawn from its seed."""

    def __init__(self, seed: int, source: Database, lago: Sandbox, environ: dict[str, str]) -> None:
        self.chance = random.Random(seed)
        self.source = source
        self.lago = lago
        self.environ = environ
        # The dead keep their sessions, which are shared else.
        self.mortal = environ | {"DATABASE_URL": source.server.socket_url(source.name)}
        self.since = window(8)
        self.kept = False

    def run(self) -> None:
        restores = self.chance.random() < 0.5
        passes = self.chance.choice((1, 1, 1, 1, 2))
        dumped = self.chance.randrange(passes) if restores else None
        for number in range(passes):
            self.use()
            self.bill(dies=self.chance.random() < 0.3, since=not number)
            if number == dumped:
                self.dump()
                self.use()
        self.lose()
        self.use()
        if self.chance.random() < 0.2:  # cron's pass comes first
            self.bill(dies=self.chance.random() < 0.3, since=self.chance.random() < 0.5)
        let_minutes_pass(self.source) if self.has_ledger else None
        if self.chance.random() < 0.15:
            self.struck(self.rebuild)
        self.rebuild(self.environ)
        self.use()
        let_minutes_pass(self.source)
        let_time_pass(self.source, "2 hours")  # a ledger that lacked nothing finds late rows as ever: by a probe
        reconcile(self.environ)
        if self.source.fetch("SELECT FROM reconciler.batch WHERE state = 'planned'"):  # it was in doubt
            let_minutes_pass(self.source)
            reconcile(self.environ)
        self.check()

    def use(self) -> None:
        """Rows appear, some of them late."""
        chance = self.chance
        rows = [
            spend_row(
                startTime=window(chance.randrange(1, 7)) + timedelta(seconds=chance.randrange(900)),
                end_user=chance.choice(("acme", "globex", "O'Brien & Söhne")),
                model=chance.choice(("openai/gpt-4o-mini", "")),
                prompt_tokens=chance.randrange(50),
                spend=chance.choice((1.35e-05, 0.1, 2.5e-07, 1 / 3)),
            )
            for _ in range(chance.randrange(1, 4))
        ]
        self.source.insert(*rows)

    def bill(self, *, dies: bool, since: bool) -> None:
        """A pass, perhaps with a lost answer, perhaps killed."""
        if self.chance.random() < 0.2:
            self.lago.faults({"kind": self.chance.choice(("commit_then_drop", "drop")), "path": BATCH})
        begin = self.since.isoformat() if since else None

        def once(environ: dict[str, str]) -> None:
            with suppress(ReconcileError):
                reconcile(environ, since=begin)

        self.struck(once) if dies else once(self.environ)
        self.lago.clear_faults()

    def struck(self, work: Callable[[dict[str, str]], object]) -> None:
        """Work that is killed somewhere; in one process, so the dead let nothing go."""
        with suppress(Crash), counted(Steps(crash, at=self.chance.randrange(1, _STEPS), kinds=LASTING)):
            work(self.mortal)

    def rebuild(self, environ: dict[str, str]) -> None:
        rebuild(environ, self.since.isoformat())

    # Backups and losses

    @property
    def has_ledger(self) -> bool:
        return self.source.fetch("SELECT to_regclass('reconciler.event') IS NOT NULL") == [(True,)]

    def dump(self) -> None:
        self.source.fetch(" ".join(f"INSERT INTO kept.{name} TABLE reconciler.{name};" for name in _KEPT))
        self.kept = True

    def lose(self) -> None:
        """The schema is dropped, or emptied, or what it was is back; from a dump it lies elsewhere than before."""
        if not self.kept:
            drops = self.chance.random() < 0.05
            self.source.fetch("DROP SCHEMA reconciler CASCADE" if drops else _EMPTIED)
            return
        back = [f"INSERT INTO reconciler.{name} OVERRIDING SYSTEM VALUE TABLE kept.{name};" for name in _KEPT]
        self.source.fetch(f"{_EMPTIED} {' '.join(back)} UPDATE reconciler.meter SET place = 'elsewhere'")

    def check(self) -> None:
        assert counted_by_lago(self.lago) == used(self.source, watermark=self._watermark)
        if "RECONCILE_DEDUPLICATION" not in self.environ:  # there the same bytes may go twice, and count once
            ids = Counter(event["transaction_id"] for event in self.lago.events())
            assert set(ids.values()) <= {1}, "no event is there twice"
        states = {state for (state,) in self.source.fetch("SELECT state FROM reconciler.batch")}
        assert states <= {"accepted"}

    @property
    def _watermark(self) -> datetime:
        [(watermark,)] = self.source.fetch("SELECT watermark FROM reconciler.meter")
        assert isinstance(watermark, datetime)
        return watermark


@pytest.mark.proof(seconds=15)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_any_ledger_that_was_lost_or_restored_is_rebuilt_exactly(chunk: int, proxy_db: Database) -> None:
    options, more = STORES[list(STORES)[chunk % len(STORES)]]
    proxy_db.fetch("CREATE SCHEMA kept; " + " ".join(f"CREATE TABLE kept.{t} (LIKE reconciler.{t});" for t in _KEPT))
    with Sandbox(**options) as lago:
        for seed in SEEDS[chunk::CHUNKS]:
            start_over(lago, proxy_db)
            proxy_db.fetch(" ".join(f"DELETE FROM kept.{name};" for name in _KEPT))
            make_metric(lago)
            environ = environment(proxy_db, lago, RECONCILE_CONNECTIONS="1") | more
            if options:
                lago.clickhouse(lag=0)
                environ["RECONCILE_LAG"] = "0s"
            try:
                History(seed, proxy_db, lago, environ).run()
            except BaseException as error:
                error.add_note(f"Replay it: REBUILD_SEED={seed} pytest tests/rebuild/test_any_loss.py")
                raise
