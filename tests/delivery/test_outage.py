"""A Lago that is away for hours: one pass at a time asks for it, the others plan, and all of it drains at the end."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from reconciler.capture.planner import Planner
from reconciler.lago import ending
from reconciler.model.errors import LagoAwayError, ReconcileError
from reconciler.model.when import parse_when
from reconciler.passes.run import Pass, Request
from reconciler.report.figures import Tally
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from reconciler.settings.load import Settings, load_settings
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    QUICK,
    assert_exact,
    batches,
    customers,
    environment,
    let_minutes_pass,
    make_metric,
    reconcile,
)

SMALL = replace(QUICK, batch=10)


def been_away(ledger: Database, since: str, asked: str) -> None:
    """Let Lago have been away for so long, and asked last so long ago."""
    ledger.fetch(
        """UPDATE reconciler.lago SET away_since = clock_timestamp() - %s::interval,
                                      asked_at = clock_timestamp() - %s::interval""",
        since,
        asked,
    )


def asked(lago: Sandbox) -> int:
    return len(lago.requests())


@pytest.fixture
def away(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter with usage planned, whose Lago refused connections and now answers with errors."""
    environ = environment(proxy_db, lago)
    customers(proxy_db, 120)
    lago.refuse()
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    lago.accept()
    lago.faults({"kind": "status", "status": 503, "count": None})
    lago.clear_requests()
    return environ


def test_in_a_long_outage_only_one_pass_at_a_time_asks(away: dict[str, str], proxy_db: Database, lago: Sandbox) -> None:
    been_away(proxy_db, "2 hours", "5 minutes")

    def run() -> Summary | ReconcileError:
        try:
            return reconcile(away)
        except ReconcileError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        ends = [each.result() for each in [pool.submit(run) for _ in range(4)]]
    assert asked(lago) == 1
    said = [str(end) for end in ends if isinstance(end, LagoAwayError)]
    assert len(said) == 4
    assert sum("it answers 503" in each for each in said) == 1, "the one that asks"
    assert sum("asked again from" in each for each in said) == 3


def test_a_pass_that_does_not_ask_is_quick_plans_and_says_since_when(
    away: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    been_away(proxy_db, "2 hours", "5 seconds")
    lago.stop()
    proxy_db.insert(spend_row(model="new"))
    with pytest.raises(LagoAwayError, match=r"can't be reached since .* stay planned"):
        reconcile(away)
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.event WHERE model = 'new'") == [(1,)]


def test_the_pass_that_asks_a_lago_that_hangs_is_done_in_seconds(
    away: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    lago.clear_faults()
    lago.faults({"kind": "hang", "seconds": 60, "count": None})
    been_away(proxy_db, "2 hours", "5 minutes")
    with pytest.raises(LagoAwayError, match=r"no answer within 0\.5 s"):
        reconcile(away, limits=replace(QUICK, careful=0.5))


def test_when_it_is_back_one_batch_goes_first_and_then_all_drains(
    away: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    lago.clear_faults()
    been_away(proxy_db, "2 hours", "5 minutes")
    assert reconcile(away).delivered.accepted == 120
    assert_exact(proxy_db, lago)
    assert proxy_db.fetch("SELECT away_since FROM reconciler.lago") == [(None,)]


def test_a_lago_that_answers_and_takes_nothing_is_still_away(
    away: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    lago.clear_faults()
    lago.faults({"kind": "status", "status": 503, "count": None, "path": BATCH})
    been_away(proxy_db, "2 hours", "5 minutes")
    with pytest.raises(LagoAwayError):
        reconcile(away)
    [(long,)] = proxy_db.fetch("SELECT clock_timestamp() - away_since > interval '1 hour' FROM reconciler.lago")
    assert long


@pytest.fixture
def two_meters(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> Settings:
    """The settings of meters `cost` and `tokens`, which have an event each to plan."""
    config = tmp_path / "reconcile.toml"
    config.write_text(
        """[meters.cost]
lago_api_event_code = "cost"
[meters.tokens]
lago_api_event_code = "tokens"
"""
    )
    environ = environment(proxy_db, lago)
    del environ["LAGO_API_EVENT_CODE"]
    for code in ("cost", "tokens"):
        make_metric(lago, code)
    lago.clear_requests()
    proxy_db.insert(spend_row())
    return load_settings(environ=environ, config=config)


def test_several_meters_wait_for_a_dead_lago_only_once(two_meters: Settings, lago: Sandbox) -> None:
    lago.faults({"kind": "status", "status": 503, "count": None})
    summaries = Pass(two_meters).run(Request(since=partial(parse_when, "2h")))
    assert [str(summary.error).partition(" can't")[0] for summary in summaries] == 2 * [
        f"Lago at LAGO_API_BASE ({lago.url})"
    ]
    assert asked(lago) == 4, "the first meter's tries"


@pytest.fixture
def two_away(two_meters: Settings, proxy_db: Database, lago: Sandbox) -> Settings:
    """The same when Lago has been away for an hour, and works again."""
    lago.refuse()
    Pass(two_meters).run(Request(since=partial(parse_when, "2h")))
    lago.accept()
    been_away(proxy_db, "1 hour", "5 minutes")
    return two_meters


def test_when_it_is_back_all_meters_drain_in_one_pass(two_away: Settings, proxy_db: Database, lago: Sandbox) -> None:
    summaries = Pass(two_away).run(Request())
    assert [(summary.error, summary.delivered.accepted) for summary in summaries] == [(None, 1), (None, 1)]
    for code in ("cost", "tokens"):
        assert_exact(proxy_db, lago, meter=code, code=code)
    assert proxy_db.fetch("SELECT away_since FROM reconciler.lago") == [(None,)]


def test_when_it_is_back_a_meter_that_may_not_deliver_keeps_no_other_from_it(
    two_away: Settings, proxy_db: Database, lago: Sandbox
) -> None:
    """Lago holds an event of meter `cost` that the ledger doesn't know: a person has to look first."""
    [(payload,)] = proxy_db.fetch("SELECT payload FROM reconciler.event WHERE meter = 'cost'")
    httpx.post(
        f"{lago.url}/api/v1/events",
        headers={"Authorization": f"Bearer {lago.api_key}"},
        json={"event": json.loads(payload) | {"transaction_id": "r1_" + "0" * 64}},
    ).raise_for_status()

    cost, tokens = Pass(two_away).run(Request())

    assert [alarm["kind"] for alarm in cost.alarms] == ["foreign"]
    assert (tokens.error, tokens.delivered.accepted) == (None, 1)
    assert_exact(proxy_db, lago, meter="tokens", code="tokens")


def test_a_pass_that_has_nothing_to_send_yet_does_not_say_that_lago_is_back(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    """What may have been sent waits to be read back; the questions that Lago answers meanwhile prove nothing."""
    environ = environment(proxy_db, clickhouse)
    proxy_db.insert(spend_row())
    clickhouse.faults({"kind": "status", "status": 500, "path": BATCH})
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    for _ in range(2):
        assert reconcile(environ).delivered.accepted == 0
    assert proxy_db.fetch("SELECT away_since IS NOT NULL FROM reconciler.lago") == [(True,)]
    assert len(batches(clickhouse)) == 1, "not even an empty one"

    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 1
    assert proxy_db.fetch("SELECT away_since FROM reconciler.lago") == [(None,)]


def test_a_backlog_of_hours_drains_window_by_window_while_fresh_usage_gets_every_other_batch(
    proxy_db: Database, lago: Sandbox
) -> None:
    hours = range(20, 12, -1)
    old = [spend_row(end_user=f"{hour} {n}", startTime=_ago(hours=hour)) for hour in hours for n in range(10)]
    fresh = [spend_row(end_user=f"fresh {number}", startTime=_ago(minutes=30)) for number in range(30)]
    proxy_db.insert(*reversed(old), *fresh)
    reconcile(environment(proxy_db, lago, RECONCILE_CONNECTIONS="1"), since="24h", limits=SMALL)
    names = {event["transaction_id"]: event["external_subscription_id"] for event in lago.events()}
    kinds = [{names[id_].split()[0] for id_ in batch} for batch in batches(lago)]
    assert all(len(kind) == 1 for kind in kinds), "a batch is of one window"
    ages = [kind.pop() for kind in kinds]
    assert ages[:6:2] == ["20", "19", "18"]
    assert ages[1:6:2] == ["fresh"] * 3
    assert ages[6:] == ["17", "16", "15", "14", "13"]
    assert_exact(proxy_db, lago)


def test_a_pass_ends_at_its_deadline_and_the_next_goes_on(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_DEADLINE="2s")
    customers(proxy_db, 200)
    lago.faults({"kind": "slow", "seconds": 0.4, "count": None, "path": BATCH})
    done = reconcile(environ, since="2h", limits=SMALL)
    assert done.exit_code == 0
    assert done.balance is not None
    assert 0 < done.balance.planned_events < 200
    lago.clear_faults()
    assert reconcile(environment(proxy_db, lago)).exit_code == 0
    assert_exact(proxy_db, lago)


def test_what_took_longer_to_plan_than_the_deadline_is_sent_all_the_same(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a long backfill does: the deadline is for sending."""
    plan, gone = Planner.plan, [0.0]

    def slow(planner: Planner, *arguments: Any) -> Tally:
        gone[0] += 61
        return plan(planner, *arguments)

    monkeypatch.setattr(Planner, "plan", slow)
    monkeypatch.setattr(ending, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + gone[0]))
    customers(proxy_db, 3)
    assert reconcile(environment(proxy_db, lago, RECONCILE_DEADLINE="1m"), since="2h").delivered.accepted == 3


def test_a_lago_that_answers_no_question_in_time_does_not_hold_a_pass_longer_than_its_deadline(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago, RECONCILE_DEADLINE="2s")
    proxy_db.insert(spend_row())
    later = {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}, "count": None}
    lago.faults(later | {"path": "/api/v1/events"})
    done = reconcile(environ, since="2h")
    assert done.exit_code == 0
    assert done.balance is not None
    assert done.balance.planned_events == 1
    lago.clear_faults()
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, lago)


def _ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)
