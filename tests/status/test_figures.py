"""`reconcile status`: every figure is right, and together they make up the source."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import QUICK, environment, let_time_pass, reconcile, used, world

NOW = datetime.now(UTC)
TODAY = NOW - timedelta(minutes=35)
YESTERDAY = TODAY - timedelta(days=1)

# One customer for each thing that can become of usage, and its cost on each of two days: no two sums are alike.
COSTS = {
    "accepted": 1,
    "planned": 2,
    "quarantined": 4,
    "conflict": 8,
    "held": 16,
    "discarded": 32,
    "frozen": 64,
    "unmapped": 128,
    None: 256,
    "": 512,
}
FROZEN = Decimal("0.5")


@pytest.fixture(scope="module")
def made(postgres: EmbeddedPostgres) -> Iterator[tuple[Database, Sandbox]]:
    with world(postgres) as made:
        yield made


@pytest.fixture(scope="module")
def proxy_db(made: tuple[Database, Sandbox]) -> Database:
    return made[0]


@pytest.fixture(scope="module")
def lago(made: tuple[Database, Sandbox]) -> Sandbox:
    return made[1]


@pytest.fixture(scope="module")
def environ(proxy_db: Database, lago: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A meter with usage in every state."""
    mapping = tmp_path_factory.mktemp("status") / "mapping.csv"
    names = [name for name in COSTS if name and name != "unmapped"]
    mapping.write_text("customer,subscription\n" + "".join(f"{name},{name}\n" for name in names))
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))

    proxy_db.insert(
        *(
            spend_row(startTime=moment, end_user=name, spend=float(cost))
            for name, cost in COSTS.items()
            for moment in (TODAY, YESTERDAY)
        ),
        spend_row(startTime=TODAY, end_user="frozen", spend=float(FROZEN), request_id="to be deleted"),
        spend_row(startTime=TODAY, spend=float("nan")),
        spend_row(startTime=TODAY, spend=-1.0),
        spend_row(startTime=YESTERDAY, prompt_tokens=-1),
    )
    alone = replace(QUICK, batch=1)
    reconcile(environ, since="3d", limits=alone)
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = %s', "to be deleted")
    let_time_pass(proxy_db, "2 days")
    reconcile(environ, limits=alone)
    # What delivery and a person's decisions would have made of them.
    for change, whose in (
        ("state = customer", "customer IN ('planned', 'quarantined', 'discarded')"),
        ("state = 'quarantined', conflict = true", "customer = 'conflict'"),
        ("state = 'held', held_for = 'closed period'", "customer = 'held'"),
    ):
        proxy_db.fetch(
            f"UPDATE reconciler.batch SET {change} FROM reconciler.event WHERE event.batch = batch.id AND {whose}"
        )
    return environ


def _status(environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = run(environ, "status", "--json", *arguments)
    assert done.stderr == ""
    [meter] = only_object(done)["meters"]
    assert isinstance(meter, dict)
    return meter


def test_every_figure_is_right(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    now = _status(environ)
    expected = {
        "events_planned": 2,
        "cost_planned": "4",
        "events_accepted": 4,  # those of the customer in the frozen bucket are with Lago too
        "cost_accepted": "130.5",
        "events_quarantined": 4,
        "cost_quarantined": "24",
        "events_in_conflict": 2,
        "events_held": 2,
        "cost_held": "32",
        "events_discarded": 2,
        "cost_discarded": "64",
        "frozen_buckets": 1,
        "cost_frozen": "0.5",
        "unmapped_buckets": 2,
        "cost_unmapped": "256",
        "unattributed_rows": 4,
        "unattributed_cost": "1536",
        "suspect_rows": 3,
        "late_rows": 0,
        "cost_late": "0",
        "stalled_since": None,
        "purge_mark": None,
    }
    assert {name: now[name] for name in expected} == expected


def test_the_figures_add_up_to_the_source(proxy_db: Database, environ: dict[str, str]) -> None:
    now = _status(environ)
    names = ("accepted", "planned", "quarantined", "held", "discarded", "unmapped", "frozen")
    cost = {name: Decimal(now[f"cost_{name}"]) for name in names}
    assert sum(cost.values()) - 2 * cost["frozen"] == sum(usage.cost for usage in used(proxy_db).values())
    [(everything,)] = proxy_db.fetch(
        'SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs" '
        "WHERE spend >= 0 AND spend < 'Infinity' AND prompt_tokens >= 0"
    )
    assert sum(cost.values()) - 2 * cost["frozen"] + Decimal(now["unattributed_cost"]) == everything


def test_lists_and_statements_show_the_same_parts_of_what_was_billed(environ: dict[str, str]) -> None:
    heads, *lines = (line.split() for line in run(environ, "customers", "list").stdout.splitlines())
    assert heads[-4:] == ["way", "held", "quarantined", "discarded"]
    parts = {line[0]: line[-4:] for line in lines}
    assert (parts["planned"], parts["discarded"]) == (["4.00", "0", "0", "0"], ["0", "0", "0", "64.00"])
    explained = run(environ, "explain", "planned").stdout
    assert "Of the events 4 USD are on their way: the next pass sends them." in explained


def test_money_billed_per_day_is_that_of_the_events_of_the_day(environ: dict[str, str]) -> None:
    expected: dict[str, list[Any]] = defaultdict(lambda: [0, 0, 0, Decimal()])
    billed = [name for name in COSTS if name and name != "unmapped"]
    for moment in (TODAY, YESTERDAY):
        for name in billed:
            rows = 2 if name == "frozen" and moment == TODAY else 1
            day = expected[f"{moment:%Y-%m-%d}"]
            day[0] += 1
            day[1] += 10 * rows
            day[2] += 20 * rows
            day[3] += COSTS[name] + (FROZEN if rows == 2 else 0)
    days = _status(environ)["days"]
    assert [day["day"] for day in days] == sorted(expected, reverse=True)
    assert {
        day["day"]: [day["events"], day["input_tokens"], day["output_tokens"], Decimal(day["cost"])] for day in days
    } == expected


def test_watermark_lag_and_where_it_reads_and_sends(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    now = _status(environ)
    [(start, watermark)] = proxy_db.fetch("SELECT start, watermark FROM reconciler.meter")
    assert (now["meter"], now["start"], now["watermark"]) == (
        "default",
        f"{start:%Y-%m-%dT%H:%M:%SZ}",
        f"{watermark:%Y-%m-%dT%H:%M:%SZ}",
    )
    assert abs(now["lag_seconds"] - (datetime.now(UTC) - watermark).total_seconds()) < 30
    assert (now["source"]["database"], now["source"]["schema"], now["lago"]) == (proxy_db.name, "public", lago.url)


def test_people_see_the_same_in_tables(environ: dict[str, str]) -> None:
    shown = run(environ, "status")
    assert shown.returncode == 3
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    for line in (
        "accepted, of the last 7 days 4 130.50",
        "planned 2 4.00",
        "quarantined 4 24.00",
        "held 2 32.00",
        "discarded 2 64.00",
        "frozen (buckets) 1 0.50",
        "unmapped (buckets) 2 256.00",
        "unattributed (rows) 4 1,536.00",
        "suspect (rows) 3",
        "late, after retention (rows) 0 0",
    ):
        assert line in lines
    # What was billed, and what has become of it, of as many days as it says.
    at = lines.index("Billed on the last 7 days (UTC), in USD, and what has become of it")
    columns = "day events input tokens output tokens billed accepted on its way held quarantined, discarded"
    assert lines[at + 1 : at + 4] == [
        columns,
        f"{TODAY:%Y-%m-%d} 7 80 160 127.50 65.50 2.00 16.00 44.00",
        f"{YESTERDAY:%Y-%m-%d} 7 70 140 127.00 65.00 2.00 16.00 44.00",
    ]
    assert any(line.startswith("watermark ") and line.endswith(" behind") for line in lines)
    assert any(line.startswith("alarm ") and "(frozen)" in line for line in lines)


def test_it_needs_neither_lago_nor_the_spend_table(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    lago.clear_requests()
    proxy_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" RENAME TO gone')
    assert _status({"DATABASE_URL": environ["DATABASE_URL"]})["events_planned"] == 2
    assert lago.requests() == []
    proxy_db.fetch('ALTER TABLE gone RENAME TO "LiteLLM_SpendLogs"')
