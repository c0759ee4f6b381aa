"""Traffic is the same for the same seed, and holds every kind of row that makes billing hard."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.demo.litellm import JUNE_2025, SpendRow, apply_migrations
from reconciler.demo.traffic import customers, generate, write
from tests.conftest import Database

SINCE = datetime(2026, 11, 23, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=6)


@pytest.fixture(scope="module")
def rows() -> list[SpendRow]:
    return list(generate(7, SINCE, UNTIL, 5000))


def test_same_seed_same_rows() -> None:
    first, again, other = (list(generate(seed, SINCE, UNTIL, 500)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_rows_start_in_the_range_and_come_as_they_are_written(rows: list[SpendRow]) -> None:
    since, until = SINCE.replace(tzinfo=None), UNTIL.replace(tzinfo=None)
    assert len(rows) == 5000
    assert all(since <= row["startTime"] < until for row in rows)
    assert all(row["startTime"] <= row["endTime"] < row["created_at"] for row in rows)
    written = [row["created_at"] for row in rows]
    assert written == sorted(written)
    assert max(row["created_at"] - row["startTime"] for row in rows) > timedelta(hours=1)


def test_every_hard_case_is_there(rows: list[SpendRow]) -> None:
    full = [row for row in rows if "model" in row]
    assert len({row["model"] for row in full}) == 6
    assert {row["end_user"] for row in full} == {*customers(12), "", None}
    assert any(row["cache_hit"] == "True" and row["total_tokens"] and not row["spend"] for row in full)
    assert {bool(row["spend"]) for row in full if row["status"] == "failure"} == {True, False}
    assert any("end_user" not in row and row["spend"] > 0 for row in rows)
    assert max(len(repr(row["spend"])) for row in rows) > 18, "spend has the tails of binary floats"
    assert len({row["request_id"] for row in rows}) == 5000


@pytest.mark.proof
def test_what_is_written_is_what_was_made_in_an_old_schema_too(
    empty_db: Database, proxy_db: Database, rows: list[SpendRow]
) -> None:
    apply_migrations(empty_db.url, JUNE_2025)
    total = sum(Decimal(repr(row["spend"])) for row in rows)
    for database in (empty_db, proxy_db):
        assert write(database.url, rows) == 5000
        assert database.fetch('SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs"') == [(total,)]
        found = database.fetch('SELECT DISTINCT end_user FROM "LiteLLM_SpendLogs" WHERE end_user <> %s', "")
        assert {name for (name,) in found} == set(customers(12))
