"""LiteLLM's schema is the real one, in all the variants that operators have."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from reconciler.demo.litellm import (
    JUNE_2025,
    NOVEMBER_2025,
    apply_migrations,
    load_rows,
    migrations,
    partition_spend_logs,
)
from tests.conftest import DATA, Database, spend_row

LATER_THAN_NOVEMBER = {
    "organization_id",
    "agent_id",
    "request_duration_ms",
    "created_at",
    "updated_at",
    "litellm_call_id",
    "billing_agent_id",
}
SAMPLE = DATA / "litellm_spend_rows.jsonl"


def columns(database: Database) -> set[str]:
    found = database.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'LiteLLM_SpendLogs'")
    return {name for (name,) in found}


def test_all_migrations_apply(proxy_db: Database) -> None:
    assert len(migrations()) >= 220
    assert LATER_THAN_NOVEMBER | {"request_id", "spend", "startTime", "status"} <= columns(proxy_db)


@pytest.mark.proof
def test_all_migrations_apply_on_postgres_15(proxy_db15: Database) -> None:
    proxy_db15.insert(spend_row())
    assert proxy_db15.fetch('SELECT count(*) FROM "LiteLLM_SpendLogs"') == [(1,)]


@pytest.mark.parametrize(
    ("until", "number", "lacks"),
    [
        (JUNE_2025, 24, {*LATER_THAN_NOVEMBER, "mcp_namespaced_tool_name"}),
        (NOVEMBER_2025, 47, LATER_THAN_NOVEMBER),
    ],
)
def test_old_installs(empty_db: Database, until: str, number: int, lacks: set[str]) -> None:
    assert apply_migrations(empty_db.url, until) == number
    assert not columns(empty_db) & lacks
    assert {"status", "session_id", "end_user", "team_id", "user"} <= columns(empty_db)
    assert load_rows(empty_db.url, SAMPLE) == 30


def test_sample_rows_keep_their_spend_to_the_last_digit(proxy_db: Database) -> None:
    assert load_rows(proxy_db.url, SAMPLE) == 30
    total, customers, tags = proxy_db.fetch(
        """SELECT sum(spend::text::numeric), count(DISTINCT end_user),
                  count(*) FILTER (WHERE request_tags <> '[]')
           FROM "LiteLLM_SpendLogs" """
    )[0]
    assert total == Decimal("0.0017279")
    assert customers > 5
    assert tags > 20


def test_a_partitioned_table_repeats_request_ids(proxy_db: Database) -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    proxy_db.insert(spend_row(request_id="before"))
    partition_spend_logs(proxy_db.url, date(2026, 11, 22), days=3)
    twice = [spend_row(request_id="again", startTime=noon + timedelta(milliseconds=ms)) for ms in (0, 1)]
    proxy_db.insert(*twice, spend_row(request_id="old", startTime=noon - timedelta(days=100)))
    assert proxy_db.fetch(
        'SELECT tableoid::regclass::text, request_id FROM "LiteLLM_SpendLogs" ORDER BY "startTime"'
    ) == [
        ('"LiteLLM_SpendLogs_pdefault"', "old"),
        ('"LiteLLM_SpendLogs_p20261123"', "again"),
        ('"LiteLLM_SpendLogs_p20261123"', "again"),
    ]
    assert proxy_db.fetch('SELECT request_id FROM "LiteLLM_SpendLogs_legacy"') == [("before",)]


def test_a_plain_table_does_not(proxy_db: Database) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        proxy_db.insert(spend_row(request_id="again"), spend_row(request_id="again"))
