"""Rates as Lago sees them: its limits are used without timid waits, and `RECONCILE_RATE` is kept on the wire."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.lago.ending import Ending
from reconciler.lago.pace import Pace
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import BATCH, EVENTS, QUICK, assert_exact, customers, environment, reconcile

SMALL = replace(QUICK, batch=10)


@pytest.mark.proof
def test_under_lagos_limits_a_pass_is_exact_and_waits_no_longer_than_it_must(proxy_db: Database, lago: Sandbox) -> None:
    customers(proxy_db, 400)
    lago.limits({"requests": 20, "path": BATCH}, {"requests": 50})
    assert reconcile(environment(proxy_db, lago), since="2h", limits=SMALL).delivered.accepted == 400
    assert_exact(proxy_db, lago)
    sent = [request["status"] for request in lago.requests() if request["path"] == BATCH]
    assert sent.count(200) == 40
    assert sent.count(429) <= 8, "hardly ever refused"


@pytest.mark.proof
def test_a_limit_that_is_met_again_and_again_loses_nothing_and_sends_nothing_twice(
    proxy_db: Database, clickhouse: Sandbox
) -> None:
    customers(proxy_db, 100)
    clickhouse.limits({"requests": 1, "seconds": 0.4, "path": BATCH})  # and there are two senders
    assert reconcile(environment(proxy_db, clickhouse), since="2h", limits=SMALL).delivered.accepted == 100
    assert any(request["fault"] == "limit" for request in clickhouse.requests())
    assert_exact(proxy_db, clickhouse)


def test_the_operators_rate_is_a_ceiling_over_reading_and_sending(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    wait = Pace.wait

    def count(pace: Pace) -> None:
        waits.append(pace.rate)
        wait(pace)

    monkeypatch.setattr(Pace, "wait", count)
    customers(proxy_db, 100)
    environ = environment(proxy_db, lago, RECONCILE_RATE="123")
    lago.clear_requests()
    assert reconcile(environ, since="2h", limits=SMALL).delivered.accepted == 100
    asked = len(lago.requests())
    assert asked > sum(request["path"] == BATCH for request in lago.requests()) == 10
    assert waits.count(123.0) >= asked, "each waits for the one pace, whose own tests show that it keeps its rate"
    assert_exact(proxy_db, lago)


@pytest.mark.parametrize("path", ["/api/v1/organizations", "/api/v1/events", "/api/v1/subscriptions/"])
def test_a_question_that_is_refused_for_its_rate_is_asked_again(
    path: str, proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps: list[float] = []
    sleep = Ending.sleep

    def note(ending: Ending, seconds: float) -> None:
        sleeps.append(seconds)
        sleep(ending, seconds)

    monkeypatch.setattr(Ending, "sleep", note)
    proxy_db.insert(spend_row(startTime=datetime.now(UTC) - timedelta(minutes=70)))
    fault = {"kind": "status", "status": 429, "method": "GET", "path": path}
    other = {"kind": "slow", "seconds": 0, "path": "/api/v1/organizations"}  # it is asked first, and answered
    lago.faults(*([other] if path != other["path"] else []), {**fault, "headers": {"Retry-After": "0.5"}}, fault)
    assert reconcile(environment(proxy_db, lago), since="2h").delivered.accepted == 1
    assert max(sleeps) == pytest.approx(0.5, abs=0.2), "as long as it was told"
    refused = [request["path"].partition("?")[0] for request in lago.requests() if request["status"] == 429]
    assert len(refused) == 2
    assert all(each.startswith(path) and "enriched" not in each.removeprefix(path) for each in refused)
    assert proxy_db.fetch(f"SELECT attempts, failure FROM {EVENTS}") == [(1, None)]
    assert_exact(proxy_db, lago)
