"""Leg d: what was sent beside what Lago counts, in the present period and in those that have ended."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.database.postgres import execute
from reconciler.sandbox import Sandbox
from reconciler.verify import sent
from reconciler.verify.findings import Leg
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, long_ago
from tests.support import CODE, environment, make_metric, reconcile
from tests.verify.conftest import ONE, kinds, leg, post, verify
from tests.verify.test_strangers import CALLBACK

NAMES = ("acme", "globex", "initech")


@pytest.fixture
def billing(lago: Sandbox) -> Iterator[Billing]:
    billing = Billing(lago)
    with closing(billing.api):
        yield billing


def used(source: Database, *, minutes: float = 20, **spend: float) -> None:
    """Write a row for each of these customers."""
    start = datetime.now(UTC) - timedelta(minutes=minutes)
    source.insert(*(spend_row(end_user=name, spend=cost, startTime=start) for name, cost in spend.items()))


def grow_old(ledger: Database) -> None:
    """Let time pass after which Lago's worker has caught up."""
    ledger.fetch("UPDATE reconciler.batch SET answered_at = answered_at - interval '11 minutes'")


def worst(found: Leg) -> list[tuple[str, str, Decimal]]:
    return [(each.kind.name, each.customer, each.amount) for each in found.worst]


def test_a_healthy_meter_takes_one_question_a_subscription(
    proxy_db: Database, stored: tuple[Sandbox, dict[str, str]]
) -> None:
    lago, more = stored
    billing = Billing(lago)
    with closing(billing.api):
        for name in NAMES:
            billing.subscribe(name, made=long_ago())
    used(proxy_db, acme=0.1, globex=0.25, initech=1e-7)
    environ = environment(proxy_db, lago) | more
    reconcile(environ, since="2h")
    lago.clear_requests()
    report = verify(environ)
    found = leg(report, "d")
    assert (found.rate, found.checked, kinds(found), report.exit_code) == (ONE, "3 subscriptions", {}, 0)
    assert found.sides.found == Decimal("0.3500001")
    asked = [each["path"].partition("?")[0].removeprefix("/api/v1/") for each in lago.requests()]
    usage = [f"customers/{name}/current_usage" for name in NAMES]
    assert sorted(asked) == sorted(["organizations", "events", f"billable_metrics/{CODE}", *usage])


def test_usage_of_an_earlier_code_is_a_leg_of_its_own(proxy_db: Database, billing: Billing) -> None:
    make_metric(billing.lago, "old")  # which no plan charges
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago)
    used(proxy_db, acme=0.5)
    reconcile(environ | {"LAGO_API_EVENT_CODE": "old"}, since="2h")
    for again in (False, True):
        if again:
            reconcile(environ, adopt=True)
        report = verify(environ if again else environ | {"LAGO_API_EVENT_CODE": "old"})
        found = leg(report, "d (old)" if again else "d")
        assert (found.checked, worst(found)) == ("1 subscription", [("no charge", "acme", Decimal("0.5"))])
    assert (kinds(leg(report, "d")), leg(report, "d").reading) == ({}, "nothing to compare")


def test_a_since_from_long_before_reads_no_day_without_windows(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is summed a day at a time, also of periods that began whenever Lago says."""
    used(proxy_db, acme=0.5)
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h")
    summed: list[str] = []

    def counted(connection: Any, name: str, *rest: Any) -> Any:
        summed.append(name)
        return execute(connection, name, *rest)

    monkeypatch.setattr(sent, "execute", counted)
    assert kinds(leg(verify(environ, "2001-01-01"), "d")) == {"no subscription": 1}
    assert len(summed) <= 3 * 2


@pytest.mark.proof
def test_a_worker_that_lost_its_queue(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    used(proxy_db, acme=0.1)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    assert verify(environ).exit_code == 0
    billing.lago.worker(paused=True)
    used(proxy_db, acme=0.3)
    reconcile(environ)
    recent = verify(environ)
    assert (kinds(leg(recent, "d")), recent.exit_code) == ({"being counted": 1}, 0)
    grow_old(proxy_db)
    report = verify(environ)
    assert (worst(leg(report, "d")), report.exit_code) == ([("stale", "acme", Decimal("0.3"))], 3)
    billing.lago.worker(paused=False)
    assert verify(environ).exit_code == 0


@pytest.mark.proof
def test_events_of_others_count_too(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    used(proxy_db, acme=0.1)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    post(billing.lago, "events", {"event": CALLBACK | {"code": CODE, "external_subscription_id": "acme"}})
    grow_old(proxy_db)
    report = verify(environ)
    found = leg(report, "d")
    assert (worst(found), found.reading) == ([("others count, too", "acme", Decimal("-0.25"))], "above 1")


@pytest.mark.proof
def test_events_that_are_gone_are_not_counted(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    used(proxy_db, acme=0.1)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    billing.lago.forget(CODE)
    grow_old(proxy_db)
    assert kinds(leg(verify(environ), "d")) == {"counts less": 1}


def test_a_metric_that_was_deleted(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    used(proxy_db, acme=0.1, globex=0.2)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    billing.api.delete(f"billable_metrics/{CODE}").raise_for_status()
    report = verify(environ)
    found = leg(report, "d")
    assert (kinds(found), found.rate, report.exit_code) == ({"no metric": 2}, Decimal(0), 3)
    assert found.sides.expected == Decimal("0.3")


@pytest.mark.parametrize(
    ("field", "unit", "expected", "found"),
    [("input_tokens", "input_tokens", 10, {}), ("tokens", "USD", Decimal("0.1"), {"not our property": 1})],
)
def test_what_the_metric_sums(
    field: str, unit: str, expected: object, found: dict[str, int], proxy_db: Database, billing: Billing
) -> None:
    billing.ask("PUT", f"billable_metrics/{CODE}", {"billable_metric": {"field_name": field}})
    billing.subscribe(made=long_ago())
    used(proxy_db, acme=0.1)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    d = leg(verify(environ), "d")
    assert (d.unit, d.sides.expected, kinds(d)) == (unit, expected, found)


def test_a_plan_without_a_charge_and_a_customer_without_a_subscription(proxy_db: Database, billing: Billing) -> None:
    free = {"name": "free", "code": "free", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
    billing.ask("POST", "plans", {"plan": free | {"pay_in_advance": False}})
    billing.subscribe(plan="free", made=long_ago())
    used(proxy_db, acme=0.1, globex=0.2)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    report = verify(environ)
    assert worst(leg(report, "d")) == [
        ("no subscription", "globex", Decimal("0.2")),
        ("no charge", "acme", Decimal("0.1")),
    ]


def test_a_subscription_that_began_later(proxy_db: Database, billing: Billing) -> None:
    began = datetime.now(UTC) - timedelta(minutes=60)
    used(proxy_db, minutes=100, acme=0.1)
    used(proxy_db, minutes=20, acme=0.2)
    billing.subscribe(subscription_at=began.isoformat(), billing_time="anniversary")
    environ = environment(proxy_db, billing.lago, RECONCILE_CLOSED_PERIOD="send")
    reconcile(environ, since="3h")
    found = leg(verify(environ), "d")
    assert worst(found) == [("in no invoice", "acme", Decimal("0.1"))]
    assert found.sides.found == Decimal("0.2")


@pytest.mark.proof
def test_an_ended_subscription_is_verified_by_its_invoice_once(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe(made=long_ago())
    used(proxy_db, acme=0.1)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    billing.end()
    report = verify(environ)
    found = leg(report, "d")
    assert (found.rate, kinds(found), report.exit_code) == (ONE, {}, 0)
    assert found.sides.found == Decimal("0.1")
    billing.lago.clear_requests()
    assert leg(verify(environ), "d").rate is None
    assert not [each for each in billing.lago.requests() if "past_usage" in each["path"]]
    used(proxy_db, acme=0.5)
    reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "send"})
    assert worst(leg(verify(environ), "d")) == [("billed less", "acme", Decimal("0.5"))]


@pytest.mark.proof
def test_a_month_that_is_over(proxy_db: Database, billing: Billing) -> None:
    """Its draft has what was sent in time; what comes later is in it once it is final."""
    billing.grace(40)
    billing.subscribe(made=long_ago())
    then = datetime.now(UTC) - timedelta(days=20)
    proxy_db.insert(spend_row(spend=0.5, startTime=then), spend_row(spend=0.25))
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="35d")
    billing.invoiced()
    found = leg(verify(environ), "d")
    assert (found.rate, found.sides.found, kinds(found)) == (ONE, Decimal("0.75"), {})
    proxy_db.insert(spend_row(spend=1.0, startTime=then))
    reconcile(environ, since="35d")
    report = verify(environ)
    assert (worst(leg(report, "d")), report.exit_code) == ([("in a draft", "acme", Decimal(1))], 0)
