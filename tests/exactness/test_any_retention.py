"""Retention, swaps, truncation and copies in any order: Lago never holds more than the spend table ever said.

And in the end all that is above billed is billed. Invariant 13.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import add, sub
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from reconciler.model import windows
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.conftest import Database, new_database, spend_row
from tests.support import Usage, environment, let_time_pass, reconcile, start_over

WINDOW = timedelta(minutes=15)
OLDEST = 3 * 96
"""The age in windows of the oldest window that is billed."""

Bucket = tuple[datetime, str, str]
"""Window, customer, model."""

NOTHING = Usage(0, 0, Decimal(0), 0)

_TOTALS = """
SELECT to_timestamp(floor(extract(epoch FROM "startTime") / 900) * 900), end_user, model,
       sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(spend::text::numeric), count(*)
FROM "LiteLLM_SpendLogs"
WHERE "startTime" >= %s AND "startTime" < %s
GROUP BY 1, 2, 3
"""

_COPY = """
INSERT INTO "LiteLLM_SpendLogs"
SELECT * FROM copies
WHERE "startTime" >= %s AND "startTime" < %s AND (%s OR hashtext(request_id) %% 2 = 0)
ON CONFLICT DO NOTHING
"""


def joined(how: Callable[[Any, Any], Any], one: Usage, other: Usage) -> Usage:
    """Each measure of one with that of the other."""
    return Usage(*(how(mine, theirs) for mine, theirs in zip(one, other, strict=True)))


rows = st.fixed_dictionaries(
    {
        "end_user": st.sampled_from(["acme", "globex"]),
        "spend": st.sampled_from([0.001, 0.1, 1.0, 1 / 3]),
        "prompt_tokens": st.sampled_from([0, 1, 10]),
        "completion_tokens": st.sampled_from([0, 2, 20]),
    }
)
# Seldom far back, so that rows and deletions meet in windows. The youngest is settled.
ages = st.integers(2, 4) | st.integers(2, 9) | st.integers(2, OLDEST)
minutes = st.integers(0, 14)
batches = st.lists(st.tuples(ages, minutes, rows), min_size=1, max_size=8)


class Keeping(RuleBasedStateMachine):
    """A proxy that writes, people and jobs that delete, swap and copy, and an operator who runs passes."""

    def __init__(self, source: Database, lago: Sandbox, ledger: Database) -> None:
        super().__init__()
        start_over(lago, source, ledger)
        source.fetch("DROP TABLE IF EXISTS copies")
        source.fetch('CREATE TABLE copies (LIKE "LiteLLM_SpendLogs" INCLUDING ALL)')
        self.source, self.lago, self.ledger = source, lago, ledger
        self.environ = environment(source, lago, ledger=ledger if ledger is not source else None)
        self.now = windows.floor(datetime.now(UTC), WINDOW)
        self.start = self.now - OLDEST * WINDOW
        self.written = 0
        self.said: dict[Bucket, Usage] = {}

    def moment(self, age: int, minute: int = 0) -> datetime:
        return (self.now - age * WINDOW + timedelta(minutes=minute)).replace(tzinfo=None)

    def totals(self) -> Mapping[Bucket, Usage]:
        """What the table says now, and with that ever said."""
        found = {
            (start.astimezone(UTC), customer, model): Usage(*measures)
            for start, customer, model, *measures in self.source.fetch(
                _TOTALS, self.start.replace(tzinfo=None), self.now.replace(tzinfo=None)
            )
        }
        for bucket, usage in found.items():
            self.said[bucket] = joined(max, usage, self.said.get(bucket, NOTHING))
        return found

    def billed(self) -> Mapping[Bucket, Usage]:
        """What Lago holds."""
        found: dict[Bucket, Usage] = defaultdict(lambda: NOTHING)
        for event in self.lago.events():
            held = event["properties"]
            bucket = (datetime.fromisoformat(held["window"].split("/")[0]), held["customer"], held["model"])
            cost = Decimal(held["response_cost"])
            more = Usage(held["input_tokens"], held["output_tokens"], cost, held["requests"])
            found[bucket] = joined(add, found[bucket], more)
        return found

    def pass_(self, since: datetime | None = None) -> Summary:
        done = reconcile(self.environ, since=since.isoformat() if since else None)
        billed = self.billed()
        for bucket, usage in billed.items():
            assert joined(max, usage, self.said[bucket]) == self.said[bucket], f"{bucket} is billed too much"
        assert done.balance is not None
        # Nor would it if a person invoiced what is known to be late.
        cost = sum((usage.cost for usage in billed.values()), done.balance.late_cost)
        assert cost <= sum((usage.cost for usage in self.said.values()), Decimal())
        return done

    @initialize(batch=batches)
    def first_run(self, batch: list[tuple[int, int, dict[str, object]]]) -> None:
        self.write(batch)
        self.pass_(self.start)

    @rule(batch=batches)
    def write(self, batch: list[tuple[int, int, dict[str, object]]]) -> None:
        for age, minute, row in batch:
            self.written += 1
            self.source.insert(spend_row(request_id=f"{self.written}", startTime=self.moment(age, minute), **row))
        self.totals()

    @rule(which=st.integers(0, 1000), spend=st.sampled_from([0.5, 3.0]))
    def raise_a_row(self, which: int, spend: float) -> None:
        """As a batch's cost that was written as 0 and is known later."""
        self.source.fetch(
            'UPDATE "LiteLLM_SpendLogs" SET spend = greatest(spend, %s) WHERE request_id = %s',
            spend,
            str(which % self.written + 1),
        )
        self.totals()

    @rule(days=st.sampled_from([-20_000, 0, 4000]))
    def write_a_row_that_is_not_billed(self, days: int) -> None:
        """Of long before the start, of the present window, or of the future."""
        self.source.insert(spend_row(startTime=self.now + timedelta(days=days), end_user="nobody"))

    @rule(how=st.sampled_from(["retention", "retention", "clean-up", "truncation", "swap"]), age=ages, minute=minutes)
    def delete(self, how: str, age: int, minute: int) -> None:
        """Oldest first, or by somebody's own job out of order, or all."""
        self.source.fetch('INSERT INTO copies SELECT * FROM "LiteLLM_SpendLogs" ON CONFLICT DO NOTHING')
        if how == "retention":
            self.source.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s', self.moment(age, minute))
        elif how == "clean-up":
            younger = 'DELETE FROM "LiteLLM_SpendLogs" WHERE end_user = %s AND "startTime" >= %s'
            self.source.fetch(younger, "acme", self.moment(age, minute))
        elif how == "truncation":
            self.source.fetch('TRUNCATE "LiteLLM_SpendLogs"')
        else:
            self.source.fetch('ALTER TABLE "LiteLLM_SpendLogs" RENAME TO legacy')
            self.source.fetch('CREATE TABLE "LiteLLM_SpendLogs" (LIKE legacy INCLUDING ALL)')
            self.source.fetch("DROP TABLE legacy")

    @rule(ends=st.tuples(ages, ages), minute=minutes, whole=st.booleans())
    def copy_back(self, ends: tuple[int, int], minute: int, *, whole: bool) -> None:
        self.source.fetch(_COPY, self.moment(max(ends)), self.moment(min(ends), minute), whole)
        self.totals()

    @rule(what=st.sampled_from(["fresh", "probe", "deep", "since", "lost answer"]), age=ages)
    def look(self, what: str, age: int) -> None:
        if what == "lost answer":  # Lago stores the events, and the connection breaks before it says so
            self.lago.faults({"kind": "commit_then_drop", "method": "POST"})
        if what in {"probe", "deep"}:
            let_time_pass(self.ledger, "2 hours" if what == "probe" else "2 days")
        self.pass_(self.now - age * WINDOW if what == "since" else None)
        self.lago.clear_faults()

    def teardown(self) -> None:
        self.settle()
        # What comes now is billed or shown as well, wherever it comes.
        self.source.fetch(_COPY, self.start.replace(tzinfo=None), self.now.replace(tzinfo=None), True)
        late = [spend_row(startTime=self.moment(age), end_user="late", spend=0.5) for age in (3, 9, 99, OLDEST)]
        self.source.insert(*late)
        self.totals()
        self.settle()
        assert sum(usage.requests for (_, customer, _), usage in self.billed().items() if customer == "late") == 4

    def settle(self) -> None:
        """After a deep look nothing is above billed, and what is below is retention's doing, or frozen."""
        let_time_pass(self.ledger, "2 days")
        done = self.pass_()
        said, billed = self.totals(), self.billed()
        [(mark,)] = self.ledger.fetch("SELECT purge_mark FROM reconciler.meter")
        assert mark is None or self.start <= mark < self.now
        frozen = 0
        for bucket in said.keys() | billed.keys():
            delta = joined(sub, said.get(bucket, NOTHING), billed.get(bucket, NOTHING))
            if joined(min, delta, NOTHING) == NOTHING:
                assert delta == NOTHING, f"{bucket} is above billed"
            elif mark is None or bucket[0] > mark:
                frozen += 1
        assert done.balance is not None
        assert done.balance.frozen_buckets == frozen
        let_time_pass(self.ledger, "2 days")
        assert self.pass_().tally.events_planned == 0


def play(source: Database, lago: Sandbox, ledger: Database, *, examples: int, steps: int) -> None:
    class Playing(Keeping):
        def __init__(self) -> None:
            super().__init__(source, lago, ledger)

    run_state_machine_as_test(
        Playing,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # to shrink, hundreds of passes would run
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.proof(seconds=40)
@pytest.mark.parametrize("databases", ["one", "two"])
def test_whatever_is_deleted_and_copied_lago_holds_what_the_table_said(
    proxy_db: Database, lago: Sandbox, databases: str
) -> None:
    with new_database(proxy_db.server) as other:
        play(proxy_db, lago, other if databases == "two" else proxy_db, examples=3, steps=25)
