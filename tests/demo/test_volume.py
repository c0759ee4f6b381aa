"""The benchmark's rows: the same for the same seed, in the two shapes that it measures."""

from datetime import UTC, datetime

import pytest

from bench.volume import Kind, fill
from tests.conftest import Database, new_database

UNTIL = datetime(2026, 11, 23, 12, tzinfo=UTC)
WHOLE = """
SELECT count(*), md5(string_agg(t::text, '' ORDER BY request_id)), max("startTime"),
       avg(length(metadata::text))
FROM (SELECT request_id, spend, prompt_tokens, end_user, model, "startTime", metadata
      FROM "LiteLLM_SpendLogs") AS t
"""
BUCKETS = """
SELECT count(*) FROM (
    SELECT DISTINCT end_user, model, date_bin('15 minutes', "startTime", '2000-01-01')
    FROM "LiteLLM_SpendLogs"
) AS buckets
"""


@pytest.mark.proof
@pytest.mark.parametrize(("kind", "least", "most"), [("busy", 1, 2100), ("sparse", 2100, 2500)])
def test_same_seed_same_rows(proxy_db: Database, kind: Kind, least: int, most: int) -> None:
    with new_database(proxy_db.server, "litellm_template") as again:
        for database in (proxy_db, again):
            fill(database.url, kind, 5000, 3, UNTIL)
        assert proxy_db.fetch(WHOLE) == again.fetch(WHOLE)
    count, _, newest, json = proxy_db.fetch(WHOLE)[0]
    assert count == 5000
    assert newest < UNTIL.replace(tzinfo=None)
    assert 1200 < json < 1500
    assert least <= proxy_db.fetch(BUCKETS)[0][0] <= most
