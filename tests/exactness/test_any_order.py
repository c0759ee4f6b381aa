"""Whatever happens in whatever order, Lago counts what the spend table says, and a further pass sends nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from reconciler.model import windows
from reconciler.sandbox import Sandbox
from tests.conftest import Database, new_database, spend_row
from tests.support import assert_exact, environment, let_time_pass, reconcile, start_over

WINDOW = timedelta(minutes=15)
OLDEST = 4 * 96
"""The age in windows of the oldest usage."""

spends = st.sampled_from([0.0, 1e-07, 1.35e-05, 0.1, 0.2, 0.1 + 0.2, 1 / 3, 1e16]) | st.floats(0, 1e6)
tokens = st.sampled_from([0, 1, 10]) | st.integers(0, 2**31 - 1)
rows = st.fixed_dictionaries(
    {
        "end_user": st.sampled_from(["acme", "Acme", " acme", 'o\'hara "q" \\', "🦊", "", " ", None]),
        "model": st.sampled_from(["openai/gpt-4o-mini", "anthropic/claude", ""]),
        "spend": spends,
        "prompt_tokens": tokens,
        "completion_tokens": tokens,
        "total_tokens": st.just(0),  # not always their sum, and never billed
        "status": st.sampled_from(["success", "failure", None]),
        "cache_hit": st.sampled_from(["True", "False", "None", "", None]),
    }
)
# Seldom far back, so that rows meet in windows.
ages = st.integers(1, 3) | st.integers(1, 12) | st.integers(1, OLDEST)


class Proxy(RuleBasedStateMachine):
    """A proxy that writes, and an operator who runs passes."""

    def __init__(self, source: Database, lago: Sandbox, ledger: Database) -> None:
        super().__init__()
        start_over(lago, source, ledger)
        self.source, self.lago, self.ledger = source, lago, ledger
        self.environ = environment(source, lago, ledger=ledger if ledger is not source else None)
        self.now = windows.floor(datetime.now(UTC), WINDOW)
        self.start: datetime | None = None
        self.backfilled: list[str] = []
        self.written = 0

    def moment(self, age: int) -> datetime:
        return self.now - age * WINDOW

    @initialize(age=st.none() | ages)
    def first_run(self, age: int | None) -> None:
        if age is None:
            reconcile(self.environ)
        else:
            self.bill_from(age)

    @rule(batch=st.lists(st.tuples(ages, st.integers(0, 899_999), rows), min_size=1, max_size=12))
    def write(self, batch: list[tuple[int, int, dict[str, Any]]]) -> None:
        for age, milliseconds, row in batch:
            self.written += 1
            start = self.moment(age) + timedelta(milliseconds=milliseconds)
            self.source.insert(spend_row(request_id=f"{self.written}", startTime=start, **row))

    @rule(which=st.integers(0, 1000), spend=spends, tokens=tokens)
    def raise_a_row(self, which: int, spend: float, tokens: int) -> None:
        """As a batch's cost that was written as 0 and is known later."""
        if self.written:
            self.source.fetch(
                """UPDATE "LiteLLM_SpendLogs"
                   SET spend = greatest(spend, %s), completion_tokens = greatest(completion_tokens, %s)
                   WHERE request_id = %s""",
                spend,
                tokens,
                str(which % self.written + 1),
            )

    @rule()
    def run_a_pass(self) -> None:
        reconcile(self.environ)

    @rule(span=st.sampled_from(["2 hours", "2 days"]))
    def let_a_look_come_due(self, span: str) -> None:
        let_time_pass(self.ledger, span)
        reconcile(self.environ)

    @rule(age=ages)
    def bill_from(self, age: int) -> None:
        """The first sets the start, later ones add windows."""
        since = self.moment(age)
        reconcile(self.environ, since=since.isoformat())
        self.adds(since if self.start is None else self.after_the_oldest(since), "infinity")
        self.start = self.start or since

    @rule(age=ages, count=st.integers(1, 20))
    def backfill(self, age: int, count: int) -> None:
        since, until = self.moment(age + count), self.moment(age)
        reconcile(self.environ, since=since.isoformat(), until=until.isoformat())
        self.adds(self.after_the_oldest(since), f"{until:%Y-%m-%d %H:%M}")

    def after_the_oldest(self, since: datetime) -> datetime | None:
        """A backfill begins at the oldest row at the earliest; without rows there is nothing to add."""
        [(oldest,)] = self.source.fetch('SELECT min("startTime") FROM "LiteLLM_SpendLogs"')
        return oldest and max(since, windows.floor(oldest.replace(tzinfo=UTC), WINDOW))

    def adds(self, since: datetime | None, until: str) -> None:
        """These windows are in scope from now on."""
        if since is not None:
            self.backfilled.append(f"\"startTime\" >= '{since:%Y-%m-%d %H:%M}' AND \"startTime\" < '{until}'")

    @rule()
    def lose_an_answer(self) -> None:
        """Lago stores the events, the connection breaks before it says so."""
        self.lago.faults({"kind": "commit_then_drop", "method": "POST"})
        reconcile(self.environ)
        self.lago.clear_faults()

    def teardown(self) -> None:
        let_time_pass(self.ledger, "2 days")
        reconcile(self.environ)
        in_scope = " OR ".join(f"({span})" for span in self.backfilled) or "false"
        assert_exact(self.source, self.lago, ledger=self.ledger, where=in_scope)
        let_time_pass(self.ledger, "2 days")
        again = reconcile(self.environ)
        assert (again.tally.events_planned, again.delivered.accepted) == (0, 0)
        assert_exact(self.source, self.lago, ledger=self.ledger, where=in_scope)


def play(source: Database, lago: Sandbox, ledger: Database, *, examples: int, steps: int) -> None:
    class Playing(Proxy):
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


def test_any_order_is_exact(proxy_db: Database, lago: Sandbox) -> None:
    play(proxy_db, lago, proxy_db, examples=2, steps=6)


@pytest.mark.proof(seconds=40)
@pytest.mark.parametrize("databases", ["one", "two"])
def test_any_long_order_is_exact(proxy_db: Database, lago: Sandbox, databases: str) -> None:
    with new_database(proxy_db.server) as other:
        play(proxy_db, lago, other if databases == "two" else proxy_db, examples=3, steps=20)
