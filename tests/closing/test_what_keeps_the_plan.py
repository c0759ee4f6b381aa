"""Why the plan must not change yet: said, and the exit code is not 0; nothing is lost."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.model.errors import ReconcileError, UsageError
from reconciler.sandbox import Sandbox
from tests import commands
from tests.closing.conftest import Billing, Clock, close, closed
from tests.conftest import Database, spend_row
from tests.periods.conftest import held, last_period, long_ago
from tests.support import BATCH, assert_exact, environment, let_minutes_pass, reconcile

MINUTE = timedelta(minutes=1)


@pytest.fixture
def environ(proxy_db: Database, billing: Billing, clock: Clock) -> dict[str, str]:
    """A customer with usage in an open window, and what bills it."""
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s")
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ)
    proxy_db.insert(spend_row(spend=4, startTime=clock.window + MINUTE))
    return environ


def test_a_lago_that_is_away_to_the_end(
    environ: dict[str, str], proxy_db: Database, billing: Billing, clock: Clock
) -> None:
    billing.lago.faults({"kind": "status", "status": 503, "count": None, "path": BATCH})
    [found] = close(environ, limit="2").meters
    assert [(each.state, each.cost) for each in found.left] == [("planned", Decimal(4))]
    assert (found.outcome, found.exit_code) == ("not closed", 1)
    assert proxy_db.fetch("SELECT outcome LIKE 'not closed: Lago%', cost FROM reconciler.closing") == [(True, 4)]
    billing.lago.clear_faults()
    let_minutes_pass(proxy_db)
    assert closed(environ).exit_code == 0  # what was planned is sent, and only once
    clock.reset()
    reconcile(environ)
    assert_exact(proxy_db, billing.lago)


def test_events_that_lago_refuses(environ: dict[str, str], billing: Billing) -> None:
    refusal = '{"status": 422, "code": "validation_errors", "error_details": {"0": {"timestamp": ["no"]}}}'
    billing.lago.faults({"kind": "status", "status": 422, "body": refusal, "path": BATCH})
    found = closed(environ)
    assert ([each.state for each in found.left], found.exit_code, found.outcome) == (["quarantined"], 3, "not closed")


def test_customers_without_a_subscription(
    environ: dict[str, str], proxy_db: Database, billing: Billing, clock: Clock
) -> None:
    closed(environ)
    billing.end()
    with pytest.raises(ReconcileError, match="Lago has no active subscription 'acme', so no plan of it can change"):
        closed(environ)
    with pytest.raises(UsageError, match=r"Nothing is known of the customer 'acne'.*did you mean 'acme'\?"):
        close(environ, "acne")
    with pytest.raises(UsageError, match="Usage without a customer has no plan"):
        close(environ, " ")


def test_a_customer_with_nothing_used(environ: dict[str, str], billing: Billing) -> None:
    billing.subscribe("idle")
    found = closed(environ, "idle")
    assert (found.outcome, found.exit_code, found.nothing) == (
        "nothing to close",
        0,
        "nothing was used that is not billed already",
    )


def test_late_usage_of_a_period_that_is_invoiced_keeps_no_plan(
    environ: dict[str, str], proxy_db: Database, billing: Billing
) -> None:
    billing.grace(0)
    reconcile(environ, since=f"{last_period():%Y-%m-%d}")
    proxy_db.insert(spend_row(spend=2, startTime=last_period()))
    for billed in (Decimal(4), Decimal(0)):
        found = closed(environ)
        assert (found.outcome, found.cost, found.left) == ("closed", billed, [])
        assert "1 event (2 USD) held, as their billing period is closed" in found.warnings[0]
    assert [cost for _, cost in held(proxy_db)] == [Decimal(2)]


def test_frozen_buckets_of_the_subscription_are_named(
    environ: dict[str, str], proxy_db: Database, clock: Clock
) -> None:
    for name in ("acme", "globex"):
        proxy_db.insert(spend_row(spend=3, startTime=clock.window - MINUTE, end_user=name))
    reconcile(environ, since="2h")
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 1 WHERE spend = 3')
    told = close(environ).as_json()
    [meter] = told["meters"]
    assert (meter["outcome"], told["exit_code"]) == ("closed", 0)
    assert "1 bucket of subscription 'acme' is frozen" in meter["warnings"][0]
    assert "2 USD more is billed than the spend table holds" in meter["warnings"][0]
    assert "`reconcile frozen` says how" in meter["warnings"][0]
    assert told.keys() == {"customer", "instant", "meters", "error", "exit_code"}
    assert meter.keys() == {
        "meter", "subscription", "outcome", "events", "cost", "events_planned", "events_held", "events_quarantined",
        "cost_left", "why", "warnings", "error",
    }  # fmt: skip
    assert "is frozen" in closed(environ, dry_run=True).warnings[0]


@pytest.fixture
def clickhouse_billing(clickhouse: Sandbox) -> Iterator[Billing]:
    found = Billing(clickhouse)
    with closing(found.api):
        yield found


@pytest.mark.proof(seconds=1)
def test_a_clickhouse_that_does_not_show_it_yet(proxy_db: Database, clickhouse_billing: Billing) -> None:
    lago = clickhouse_billing.lago
    clickhouse_billing.subscribe(made=long_ago())
    environ = environment(proxy_db, lago, RECONCILE_SETTLE="0s", RECONCILE_LAG="1s")
    reconcile(environ, since="6h")
    lago.clickhouse(lag=None)
    proxy_db.insert(spend_row(spend=8), spend_row(spend=4, startTime=datetime.now(UTC) - timedelta(hours=5)))
    reconcile(environ, since="6h")  # Lago has accepted all of it a moment ago
    with pytest.raises(ReconcileError, match="does not show 2 events of meter 'default' yet"):
        closed(environ, limit="4")
    lago.release()
    assert closed(environ).exit_code == 0


@pytest.mark.parametrize(("timeout", "words"), [("soon", "is not a duration"), ("9999d", "is out of range")])
def test_a_time_that_makes_no_sense(timeout: str, words: str) -> None:
    done = commands.run({}, "close", "acme", "--timeout", timeout)
    assert done.returncode == 2
    assert "--timeout: " in done.stderr
    assert words in done.stderr
