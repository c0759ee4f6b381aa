"""What SQL plans has the ids of docs/event-ids.md, those that reconciler.identity gives."""

import json
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.identity import bucket_hash, transaction_id
from reconciler.sandbox import Sandbox
from tests.conftest import DATA, Database, spend_row
from tests.support import CODE, environment, make_metric, reconcile, start_over

VECTORS: list[dict[str, Any]] = json.loads((DATA / "event_ids.json").read_text())
METER = itemgetter("meter", "code", "charge_by", "window_seconds")
COLUMN = {"end_user_id": "end_user", "user_id": "user", "team_id": "team_id"}
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
PLANNED = """
SELECT customer, model, revision, payload::json ->> 'transaction_id', encode(bucket, 'hex') FROM reconciler.event
"""

# Any text that Postgres can hold.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def test_documented_ids_are_planned_and_sent(proxy_db: Database, lago: Sandbox) -> None:
    for (meter, code, charge_by, seconds), group in groupby(sorted(VECTORS, key=METER), METER):
        start_over(lago, proxy_db)
        environ = environment(
            proxy_db,
            lago,
            RECONCILE_METER=meter,
            LAGO_API_EVENT_CODE=code,
            LAGO_API_CHARGE_BY=charge_by,
            RECONCILE_WINDOW=f"{seconds}s",
        )
        make_metric(lago, code)
        vectors = list(group)
        for revision in range(max(vector["revision"] for vector in vectors) + 1):
            for vector in vectors:
                if revision in {0, vector["revision"]} or vector["name"] == "revision 7":
                    row = {COLUMN[charge_by]: vector["customer"], "model": vector["model"]}
                    proxy_db.insert(spend_row(startTime=vector["window_start"], **row))
            reconcile(environ, since="2026-11-23", until="2026-11-24")

        planned = {tuple(row[:3]): row[3:] for row in proxy_db.fetch(PLANNED)}
        sent = {event["transaction_id"] for event in lago.events()}
        for vector in vectors:
            key = vector["customer"], vector["model"], vector["revision"]
            assert planned[key] == (vector["transaction_id"], vector["bucket_hash"]), vector["name"]
            assert vector["transaction_id"] in sent


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(buckets=st.lists(st.tuples(texts.filter(lambda text: text.strip()), texts), min_size=1, max_size=50))
def test_sql_and_python_agree_on_any_text(proxy_db: Database, lago: Sandbox, buckets: list[tuple[str, str]]) -> None:
    start_over(lago, proxy_db)
    proxy_db.insert(*(spend_row(end_user=customer, model=model, startTime=START) for customer, model in buckets))
    reconcile(environment(proxy_db, lago), since="2026-11-23", until="2026-11-24")
    assert {(row[0], row[1]): row[3:] for row in proxy_db.fetch(PLANNED)} == {
        (customer, model): (
            transaction_id("default", CODE, "end_user_id", START, 900, customer, model, 0),
            bucket_hash(customer, model).hex(),
        )
        for customer, model in buckets
    }
    assert len(lago.events()) == len(set(buckets))
