"""Every spend table that is out there: bills are exact whatever LiteLLM's version has made of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.demo.litellm import (
    JUNE_2025,
    NOVEMBER_2025,
    apply_migrations,
    load_rows,
    partition_spend_logs,
)
from reconciler.demo.traffic import generate, write
from reconciler.sandbox import Sandbox
from tests.conftest import DATA, Database, new_database
from tests.support import Usage, Usages, assert_exact, counted, environment, let_time_pass, reconcile, start_over

MINI, CLAUDE = "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"
ONCE = Usage(10, 20, Decimal("0.0000135"), 1)

# Of rows that a real proxy wrote: without a failure for nothing, and without the request that had no customer.
SAMPLE: Usages = {
    ("cust-1", MINI): Usage(28, 45, Decimal("0.0000312"), 3),
    ("cust-1", CLAUDE): Usage(36, 87, Decimal("0.001413"), 1),
    ("cust-2", "openai/my-unpriced-model"): Usage(10, 20, Decimal(0), 1),
    ("cust-2", "openai/text-embedding-3-small"): Usage(10, 0, Decimal("0.0000002"), 1),
    ("cust-3", CLAUDE): Usage(2095, 503, Decimal(0), 1),
    ("lat", MINI): Usage(100, 200, Decimal("0.000135"), 10),
    **dict.fromkeys(
        (
            (customer, MINI)
            for customer in (
                "after", "after2", "cust-hdr", "out2-1", "out2-2", "out2-3", "term-1", "term-2", "warm", "warm2",
            )
        ),
        ONCE,
    ),
}  # fmt: skip

PROOFS = ("November 2025", "partitioned", "without status and cache_hit")
VERSIONS = ["all migrations", "June 2025", *(pytest.param(each, marks=pytest.mark.proof) for each in PROOFS)]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, proxy_db: Database) -> Iterator[Database]:
    """A proxy's database of that kind, without rows."""
    old = {"June 2025": JUNE_2025, "November 2025": NOVEMBER_2025}.get(request.param)
    if old:
        with new_database(proxy_db.server) as database:
            apply_migrations(database.url, old)
            yield database
        return
    if request.param == "partitioned":
        partition_spend_logs(proxy_db.url)
    if request.param == "without status and cache_hit":
        proxy_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN status, DROP COLUMN cache_hit')
    yield proxy_db


def sample_billed(source: Database, lago: Sandbox, ledger: Database) -> None:
    """Bill rows of a real proxy, then plausible ones that come in two parts."""
    assert load_rows(source.url, DATA / "litellm_spend_rows.jsonl") == 30
    environ = environment(source, lago, ledger=ledger)
    summary = reconcile(environ, since="2026-11-23", until="2026-11-24")
    has_status = bool(
        source.fetch(
            """SELECT 1 FROM information_schema.columns
               WHERE table_name = 'LiteLLM_SpendLogs' AND column_name = 'status'"""
        )
    )
    failure: Usages = {} if has_status else {("cust-2", MINI): Usage(8, 0, Decimal(0), 1)}
    assert counted(lago) == SAMPLE | failure
    assert (summary.tally.unattributed_rows, summary.tally.unattributed_cost) == (2 - has_status, ONCE.cost)
    assert summary.tally.cost_planned == sum(usage.cost for usage in SAMPLE.values())


def traffic_billed(source: Database, lago: Sandbox, ledger: Database) -> None:
    """Bill plausible rows that come in two parts, the second into windows that were looked at."""
    until = datetime.now(UTC) - timedelta(minutes=30)
    since = until - timedelta(hours=12)
    rows = list(generate(3, since, until, 200))
    environ = environment(source, lago, ledger=ledger)
    write(source.url, rows[::2])
    reconcile(environ, since=since.isoformat())
    assert_exact(source, lago, ledger=ledger)
    write(source.url, rows[1::2])
    let_time_pass(ledger, "2 days")
    assert reconcile(environ).delivered.accepted > 0
    assert_exact(source, lago, ledger=ledger)


def test_rows_of_a_real_proxy_and_traffic_are_billed(version: Database, lago: Sandbox) -> None:
    sample_billed(version, lago, version)
    start_over(lago, version)
    traffic_billed(version, lago, version)


@pytest.mark.proof
def test_postgres_15_is_billed(proxy_db15: Database, lago: Sandbox) -> None:
    sample_billed(proxy_db15, lago, proxy_db15)


@pytest.mark.proof
def test_source_and_ledger_may_be_of_different_versions(
    proxy_db15: Database, empty_db: Database, lago: Sandbox
) -> None:
    traffic_billed(proxy_db15, lago, empty_db)
