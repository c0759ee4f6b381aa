"""Seeded mixtures of faults over thousands of events, with kills in between, on every store: exact once it is calm.

`WEATHER_SEED` draws other weather.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.errors import ReconcileError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.crash.runner import Reconcile
from tests.support import BATCH, counted, environment, let_minutes_pass, reconcile, used

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]

EVENTS = 3000
POISON = ("arsenic", "hemlock", "nightshade")
SEED = int(os.environ.get("WEATHER_SEED", "1"))
STORES: dict[str, dict[str, Any]] = {
    "postgres": {"store": "postgres"},
    "clickhouse": {"store": "clickhouse", "deduplication": False},
    "clickhouse, deduplicating": {"store": "clickhouse", "deduplication": True},
}
ODDS: list[dict[str, Any]] = [
    {"kind": "commit_then_500"},
    {"kind": "commit_then_drop"},
    {"kind": "drop"},
    {"kind": "status", "status": 500},
    {"kind": "html", "status": 503},
    {"kind": "html", "commit": True},
    {"kind": "truncate"},
    {"kind": "hang", "seconds": 0.2, "commit": True},
    {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0.1"}},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "0.1"}},
    {"kind": "slow", "seconds": 0.1},
]


@pytest.fixture(params=STORES)
def lago(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(**STORES[request.param]) as sandbox:
        yield sandbox


def weather(lago: Sandbox, draw: random.Random) -> None:
    """Let one request in three go wrong, each in its own way, and three customers' events always."""
    lago.clear_faults()
    poison(lago)
    lago.faults(*({**kind, "path": BATCH, "probability": 0.03, "seed": draw.randrange(10**6)} for kind in ODDS))
    lago.faults({"kind": "status", "status": 503, "method": "GET", "probability": 0.05, "seed": draw.randrange(10**6)})


def poison(lago: Sandbox) -> None:
    lago.faults(
        *({"kind": "status", "count": None, "external_subscription_id": name, "path": BATCH} for name in POISON)
    )


def test_all_is_exact_once_it_is_calm_and_only_poison_is_quarantined(proxy_db: Database, lago: Sandbox) -> None:
    draw = random.Random(SEED)
    if "deduplicating" in os.environ.get("PYTEST_CURRENT_TEST", ""):
        environ = environment(proxy_db, lago, RECONCILE_DEDUPLICATION="true")
    else:
        environ = environment(proxy_db, lago)
    since = datetime.now(UTC) - timedelta(hours=6)
    names = [*POISON, *(f"customer {number}" for number in range(EVENTS // 3))]
    proxy_db.insert(
        *(
            spend_row(
                end_user=draw.choice(names),
                startTime=since + timedelta(seconds=draw.uniform(1000, 19_000)),
                spend=draw.randrange(1, 10**6) * 1e-9,
            )
            for _ in range(EVENTS)
        ),
        *(spend_row(end_user=name, startTime=since + timedelta(seconds=1000)) for name in POISON),
    )
    arguments = ("--since", f"{since:%Y-%m-%dT%H:%M:%SZ}")
    for _ in range(8):
        weather(lago, draw)
        with Reconcile(environ, *arguments, kill_at=draw.randrange(40, 400)) as one:
            one.wait()
        time.sleep(0.3)  # what a dead client left on the way arrives
        let_minutes_pass(proxy_db)

    lago.clear_faults()
    poison(lago)
    for number in range(25):
        proxy_db.insert(spend_row(end_user=f"customer {number}", model="new"))  # what shows that Lago takes others
        with suppress(ReconcileError):
            reconcile(environ)
        time.sleep(0.3)  # what a dead client left on the way arrives
        let_minutes_pass(proxy_db)
        if proxy_db.fetch("SELECT count(*) FROM reconciler.event WHERE state = 'planned'") == [(0,)]:
            break

    names_of = dict(proxy_db.fetch("SELECT state, array_agg(DISTINCT customer) FROM reconciler.event GROUP BY 1"))
    assert set(names_of) == {"accepted", "quarantined"}
    assert set(names_of["quarantined"]) == set(POISON)
    assert not set(names_of["accepted"]) & set(POISON)
    assert counted(lago) == used(proxy_db, where="end_user LIKE 'customer%'")
    assert reconcile(environ).delivered.accepted == 0
