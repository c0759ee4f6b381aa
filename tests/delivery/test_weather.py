"""Seeded mixtures of faults over hundreds of events, with kills in between, on every store: exact once it is calm.

`WEATHER_SEED` draws other weather.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.model.errors import ReconcileError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.crash.runner import Reconcile
from tests.support import BATCH, EVENTS, QUICK, STORES, counted, environment, let_minutes_pass, reconcile, used

pytestmark = [pytest.mark.proof(seconds=15), pytest.mark.timeout(600)]

CUSTOMERS = 600
AT_ONCE = 3
REQUEST_SECONDS = 0.4
POISON = ("arsenic", "hemlock", "nightshade")
SEED = int(os.environ.get("WEATHER_SEED", "1"))
ODDS: list[dict[str, Any]] = [
    {"kind": "commit_then_500"},
    {"kind": "commit_then_drop"},
    {"kind": "drop"},
    {"kind": "refuse", "seconds": 0.2},
    {"kind": "status", "status": 500},
    {"kind": "html", "status": 503},
    {"kind": "html", "commit": True},
    {"kind": "truncate"},
    {"kind": "hang", "seconds": 0.1, "commit": True},
    {"kind": "hang", "seconds": 0.6, "commit": True},
    {"kind": "hang", "seconds": 0.6},
    {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0.1"}},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "0.1"}},
    {"kind": "slow", "seconds": 0.1},
]
STORED_IN_PART = {"kind": "drop", "commit": True, "events": 3}
"""As only ClickHouse does it."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lago(store: str) -> Iterator[Sandbox]:
    options = STORES[store][0] | ({} if store == "postgres" else {"lag": 0.2})
    with Sandbox(**options) as sandbox:
        yield sandbox


def weather(lago: Sandbox, draw: random.Random, kinds: list[dict[str, Any]], certain: list[dict[str, Any]]) -> None:
    """Let some kinds go wrong for certain, then one batch in three in any way, and three customers' events always."""
    lago.clear_faults()
    poison(lago)
    lago.faults(*certain)
    lago.faults(*({**kind, "probability": 0.03, "seed": draw.randrange(10**6)} for kind in kinds))
    lago.faults({"kind": "status", "status": 503, "method": "GET", "probability": 0.05, "seed": draw.randrange(10**6)})


def poison(lago: Sandbox) -> None:
    lago.faults(
        *({"kind": "status", "count": None, "external_subscription_id": name, "path": BATCH} for name in POISON)
    )


def test_all_is_exact_once_it_is_calm_and_only_poison_is_quarantined(
    store: str, proxy_db: Database, lago: Sandbox
) -> None:
    draw = random.Random(SEED)
    kinds = [{**kind, "path": BATCH} for kind in (ODDS if store == "postgres" else [*ODDS, STORED_IN_PART])]
    environ = environment(proxy_db, lago) | STORES[store][1]
    since = datetime.now(UTC) - timedelta(hours=6)
    names = [*POISON, *(f"customer {number}" for number in range(CUSTOMERS // 3))]
    rows = [
        spend_row(
            end_user=draw.choice(names),
            startTime=since + timedelta(seconds=draw.uniform(1000, 19_000)),
            spend=draw.randrange(1, 10**6) * 1e-9,
        )
        for _ in range(CUSTOMERS)
    ]
    proxy_db.insert(*(spend_row(end_user=name, startTime=since + timedelta(seconds=1000)) for name in POISON))
    arguments = ("--since", f"{since:%Y-%m-%dT%H:%M:%SZ}")
    ends = []
    limits = replace(QUICK, batch=10, request=REQUEST_SECONDS)
    rounds = [kinds[first : first + AT_ONCE] for first in range(0, len(kinds), AT_ONCE)]
    for number, certain in enumerate(rounds):
        weather(lago, draw, kinds, certain)
        proxy_db.insert(*rows[number :: len(rounds)])
        kill_at = draw.randrange(60, 300) if number % 3 else None
        with Reconcile(environ, *arguments, kill_at=kill_at, limits=limits) as one:
            ends.append(one.wait())
        time.sleep(0.4)  # what a dead client left on the way arrives, and can be seen
        let_minutes_pass(proxy_db)
    assert -signal.SIGKILL in ends
    hit = Counter(request["fault"] for request in lago.requests())
    assert len({kind["kind"] for kind in kinds} & hit.keys()) >= 3, hit  # a pass may end before it meets some

    lago.clear_faults()
    poison(lago)
    for _ in range(60):  # on a store where a repetition would count, each try is another pass
        proxy_db.insert(spend_row(end_user=f"customer {number}", model="new"))  # what shows that Lago takes others
        with suppress(ReconcileError):
            reconcile(environ)
        time.sleep(0.25)
        let_minutes_pass(proxy_db)
        if proxy_db.fetch(f"SELECT count(*) FROM {EVENTS} WHERE state = 'planned'") == [(0,)]:
            break

    names_of = dict(proxy_db.fetch(f"SELECT state, array_agg(DISTINCT customer) FROM {EVENTS} GROUP BY 1"))
    assert set(names_of) == {"accepted", "quarantined"}
    assert set(names_of["quarantined"]) == set(POISON)
    assert not set(names_of["accepted"]) & set(POISON)
    time.sleep(0.3)
    assert counted(lago) == used(proxy_db, where="end_user LIKE 'customer%'")
    assert reconcile(environ).delivered.accepted == 0
