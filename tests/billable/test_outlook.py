"""What Lago would not bill, found by asking it: by a dry run of what is not sent yet, and by the spend table alone."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.capture.source import open_source
from reconciler.delivery.billable.subscribed import ASKED_ABOUT
from reconciler.delivery.telling import ONE_BY_ONE
from reconciler.lago.client import Lago
from reconciler.ledger.store import open_ledger
from reconciler.report.unbillable import Outlook
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify.billable import outlook
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, billing, long_ago, now
from tests.support import CODE, QUICK, backlog, environment, reconcile

__all__ = ["billing"]

GPT, CLAUDE = "openai/gpt-4o-mini", "anthropic/claude-sonnet"


def plan(billing: Billing, code: str, *charges: dict[str, Any], currency: str = "USD", amount_cents: int = 0) -> None:
    metric = billing.ask("GET", f"billable_metrics/{CODE}")["billable_metric"]["lago_id"]
    on = [{"billable_metric_id": metric, "charge_model": "standard", **charge} for charge in charges]
    fixed = {"interval": "monthly", "amount_cents": amount_cents, "pay_in_advance": False}
    thing = {"name": code, "code": code, "amount_currency": currency, "charges": on, **fixed}
    billing.ask("POST", "plans", {"plan": thing})


def price(amount: str) -> dict[str, Any]:
    return {"properties": {"amount": amount}}


@pytest.fixture
def all_kinds(proxy_db: Database, billing: Billing) -> Billing:
    """A customer for each kind, called like it, with 1 USD 20 minutes ago; and one whose usage is billed."""
    values = {"key": "model", "values": [GPT, CLAUDE]}
    billing.ask("PUT", f"billable_metrics/{CODE}", {"billable_metric": {"filters": [values]}})
    plan(billing, "filters", {**price("0"), "filters": [{"values": {"model": [CLAUDE]}, **price("2")}]})
    plan(billing, "zero", price("0"))
    plan(billing, "bare")
    plan(billing, "euro", price("1"), currency="EUR")
    plan(billing, "dynamic", {"charge_model": "dynamic", "properties": {}})
    for name, code in (
        ("billed", "llm"), ("no price", "filters"), ("free", "zero"), ("no charge", "bare"), ("currency", "euro"),
        ("no cents", "dynamic"), ("ended", "llm"), ("upgraded", "llm"),
    ):  # fmt: skip
        billing.subscribe(name, plan=code, made=long_ago())
        proxy_db.insert(spend_row(end_user=name, spend=1))
    billing.end("ended")
    billing.subscribe("upgraded", plan="better")
    billing.subscribe("began later", made=now() - timedelta(hours=1))
    billing.subscribe("not begun", subscription_at=f"{now() + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}")
    two_hours_ago = now() - timedelta(hours=2)
    proxy_db.insert(
        spend_row(end_user="no price", model=CLAUDE, spend=8),
        spend_row(end_user="began later", startTime=two_hours_ago, spend=1),
        spend_row(end_user="began later", spend=8),
        spend_row(end_user="not begun", spend=1),
        spend_row(end_user="no subscription", spend=1),
    )
    return billing


def found(seen: Outlook) -> dict[str, dict[str, Decimal]]:
    """Whose usage is not billed, by kind, in USD."""
    return {one.kind: {name: usage.cost for name, usage in one.whose.items()} for one in seen.unbillable}


def dry(environ: dict[str, str], since: str = "3h") -> Outlook:
    done = reconcile(environ, since=since, dry_run=True)
    assert done.foreseen is not None
    return done.foreseen.outlook


def of_late(environ: dict[str, str], hours: int = 3) -> Outlook:
    settings = replace(load_settings(environ=environ), limits=QUICK)
    with (
        closing(open_ledger(settings)) as ledger,
        closing(open_source(settings, ledger)) as source,
        closing(Lago.of(settings)) as lago,
    ):
        sight = source.sight()
        return outlook(settings.meters, source, sight, ledger, lago, since=sight.now - timedelta(hours=hours))


def asked(lago: Sandbox) -> Iterator[str]:
    for request in lago.requests():
        yield request["path"].removeprefix("/api/v1/").partition("?")[0].split("/")[0]


PRICED_AT_NOTHING = ("no price", "free", "no charge", "currency", "no cents")
UNSUBSCRIBED = ("no subscription", "not begun", "began later")


@pytest.mark.no_ledger
def test_each_kind_is_found_with_whose_and_how_much_before_it_is_sent_and_after(
    proxy_db: Database, all_kinds: Billing
) -> None:
    environ = environment(proxy_db, all_kinds.lago)
    one = {kind: {kind: Decimal(1)} for kind in (*UNSUBSCRIBED, *PRICED_AT_NOTHING)}
    all_kinds.lago.clear_requests()
    assert found(of_late(environ)) == one, "what ended or was upgraded later was sent in time"
    paths = list(asked(all_kinds.lago))
    assert (paths.count("plans"), paths.count("billable_metrics"), paths.count("customers")) == (0, 1, 0)
    lists, not_active, in_doubt = 2, ("ended", "not begun", "no subscription"), ("began later", "upgraded")
    active = ("billed", *PRICED_AT_NOTHING, *in_doubt)  # each shows its plan
    assert paths.count("subscriptions") == lists + len(not_active) + len(in_doubt) + len(active)

    seen = dry(environ)
    assert found(seen) == one | {kind: {kind: Decimal(1)} for kind in ("ended", "upgraded")}
    [ended] = [each for each in seen.unbillable if each.kind == "ended"]
    assert ended.sentence.startswith(
        "1 event (1.00 USD) that no subscription bills any more, since it has ended: ended (1.00 USD). Of ended: its "
        "billing period is closed: invoice "
    )
    [no_price] = [each for each in seen.unbillable if each.kind == "no price"]
    assert no_price.sentence.startswith(
        "1 event (1.00 USD) of models that no filter of the charge in the plan 'filters' matches, and its own price "
        f"is 0 ({GPT}): no price (1.00 USD). Add them to the filters"
    )
    told = {each["kind"]: each for each in (each.as_json() for each in seen.unbillable)}
    assert (told["free"]["cost"], told["free"]["largest"][0]["external_id"]) == ("1", "free")
    assert told["no price"]["models"] == [GPT]
    moved = found(dry(environ | {"RECONCILE_CLOSED_PERIOD": "move"}))
    assert set(moved) == {*one, "ended"} - {"began later"}, "the others go into the present period"


def test_few_are_asked_for_one_by_one_and_midnights_within_windows_are_told(
    proxy_db: Database, billing: Billing
) -> None:
    for name, zone in (("delhi", "Asia/Kolkata"), ("tokyo", "Asia/Tokyo")):
        billing.ask("POST", "customers", {"customer": {"external_id": name, "currency": "USD", "timezone": zone}})
        billing.subscribe(name, made=long_ago())
        proxy_db.insert(spend_row(end_user=name, spend=2, startTime=now() - timedelta(hours=2)))
    billing.subscribe("waits", subscription_at=f"{now() + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}")
    proxy_db.insert(spend_row(end_user="waits", spend=1, startTime=now() - timedelta(hours=2)))
    environ = environment(proxy_db, billing.lago, RECONCILE_WINDOW="1h")
    seen = of_late(environ)
    assert found(seen) == {"not begun": {"waits": Decimal(1)}, "time zone": {"delhi": Decimal(2)}}
    assert "Set RECONCILE_WINDOW=30m" in seen.unbillable[1].sentence
    page = {"kind": "html", "status": 403, "count": None, "path": "/api/v1/customers/delhi"}
    billing.lago.faults(page)
    [unknown] = of_late(environ).untold
    assert unknown.says == "Lago can't be asked for 1 customer: whether windows fit their own time zones is not known."
    assert found(of_late(environ | {"RECONCILE_WINDOW": "30m"}))["not begun"] == {"waits": Decimal(1)}


@pytest.mark.proof
def test_of_many_names_with_usage_of_a_period_that_is_over_the_costliest_are_asked_about(
    proxy_db: Database, billing: Billing
) -> None:
    for number in range(ASKED_ABOUT + 2):
        billing.subscribe(f"c{number}", made=now() - timedelta(hours=1))
        proxy_db.insert(spend_row(end_user=f"c{number}", startTime=now() - timedelta(hours=2), spend=number + 1))
    billing.lago.clear_requests()
    [late] = dry(environment(proxy_db, billing.lago)).unbillable
    assert (late.kind, len(late.whose)) == ("began later", ASKED_ABOUT + 2)
    assert list(asked(billing.lago)).count("customers") == ASKED_ABOUT
    assert f"and {ASKED_ABOUT + 2 - 5} others" in late.sentence


def test_many_who_were_upgraded_at_once_were_billed_by_the_plan_before(proxy_db: Database, billing: Billing) -> None:
    names = [f"c{number}" for number in range(ASKED_ABOUT + 2)]
    for name in names:
        billing.subscribe(name, made=long_ago())
        billing.subscribe(name, plan="better")
    proxy_db.insert(*(spend_row(end_user=name, startTime=now() - timedelta(hours=2), spend=1) for name in names))
    environ = environment(proxy_db, billing.lago)
    billing.lago.clear_requests()
    assert found(of_late(environ)) == {}
    lists = 2
    assert list(asked(billing.lago)).count("subscriptions") == lists + ASKED_ABOUT

    [upgraded] = dry(environ).unbillable
    assert (upgraded.kind, set(upgraded.whose)) == ("upgraded", set(names))
    assert (
        "Of 2 names Lago was not asked whether a draft invoice, or a subscription that has ended, takes it."
        in upgraded.why
    )


def test_meters_ask_for_the_same_subscriptions_and_plans_once(
    proxy_db: Database, billing: Billing, tmp_path: Path
) -> None:
    config = tmp_path / "reconcile.toml"
    config.write_text(f'[meters.a]\nlago_api_event_code = "{CODE}"\n[meters.b]\nlago_api_event_code = "{CODE}"\n')
    for number in range(ONE_BY_ONE + 1):
        billing.subscribe(f"c{number}", made=long_ago())
        proxy_db.insert(spend_row(end_user=f"c{number}"))
    environ = environment(proxy_db, billing.lago, RECONCILE_CONFIG=str(config))
    billing.lago.clear_requests()
    assert found(of_late(environ)) == {}
    paths = list(asked(billing.lago))
    assert (paths.count("subscriptions"), paths.count("plans")) == (1 + ONE_BY_ONE + 1, 0)


def test_what_waits_to_be_sent_is_foreseen_as_what_is_not_planned_yet(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe("later", made=now() - timedelta(hours=1))
    proxy_db.insert(*(spend_row(end_user="later", spend=1, startTime=now() - timedelta(hours=h)) for h in (2, 0.5)))
    environ = backlog(proxy_db, billing.lago, 2)
    proxy_db.insert(spend_row(end_user="later", spend=2, startTime=now() - timedelta(hours=2)), spend_row(spend=4))
    waiting = {"customer 0": Decimal("0.0000135"), "customer 1": Decimal("0.0000135")}
    assert found(dry(environ)) == {
        "no subscription": {"acme": Decimal(4), **waiting},
        "began later": {"later": Decimal(3)},
    }


def test_a_metric_that_does_not_count_our_usage_is_told_and_rings_until_it_does(
    proxy_db: Database, billing: Billing
) -> None:
    billing.ask("PUT", f"billable_metrics/{CODE}", {"billable_metric": {"aggregation_type": "max_agg"}})
    proxy_db.insert(spend_row(spend=2))
    environ = environment(proxy_db, billing.lago)
    assert found(dry(environ)) == {"metric": {"acme": Decimal(2)}, "no subscription": {"acme": Decimal(2)}}
    [alarm] = reconcile(environ, since="3h").alarms
    assert alarm["kind"] == "metric"
    assert "1 event (2.00 USD) for the metric 'openai_tokens', which aggregates by max_agg" in alarm["message"]
    assert ": acme (2.00 USD). Mend it in Lago" in alarm["message"]
    billing.ask("PUT", f"billable_metrics/{CODE}", {"billable_metric": {"aggregation_type": "sum_agg"}})
    proxy_db.insert(spend_row(spend=1))
    assert reconcile(environ).alarms == []


def test_prices_of_one_subscription_alone_hold_for_it_and_its_next_plan_is_looked_at(
    proxy_db: Database, billing: Billing
) -> None:
    names = [f"c{number}" for number in range(10, 10 + ASKED_ABOUT + 2)]
    plan(billing, "bare")
    plan(billing, "next")
    plan(billing, "costly", price("1"), amount_cents=100)
    for number, name in enumerate(names):
        billing.subscribe(name, plan="costly" if name == "c10" else "bare", made=long_ago())
        proxy_db.insert(spend_row(end_user=name, spend=100 - number))
    billing.subscribe("c10", plan="next")
    environ = environment(proxy_db, billing.lago)

    def shown(*charges: dict[str, Any]) -> Outlook:
        """What is found while Lago shows c11 with a plan of its own."""
        billing.lago.clear_faults()
        one = billing.ask("GET", "subscriptions/c11")["subscription"]
        own = json.dumps({"subscription": one | {"plan": one["plan"] | {"parent_id": "bare", "charges": charges}}})
        path = "/api/v1/subscriptions/c11"
        billing.lago.faults({"kind": "status", "status": 200, "body": own, "count": None, "path": path})
        return of_late(environ)

    priced = {"billable_metric_code": CODE, "charge_model": "standard", "properties": {"amount": "2"}, "filters": []}
    no_charge, next_plan = shown(priced).unbillable
    assert (no_charge.kind, set(no_charge.whose)) == ("no charge", set(names[2:]))
    assert no_charge.why == "Of 2 names Lago was not asked for prices of their own."
    assert (next_plan.kind, set(next_plan.whose), next_plan.why) == ("next plan", {"c10"}, "")
    own, *_ = shown().unbillable
    assert (set(own.whose), own.what[:41]) == ({"c11"}, "by the plan 'bare' with prices of its own")

    billing.lago.clear_faults()
    nothing = {"kind": "status", "status": 200, "body": '{"subscription": {"external_id": "c11"}, "plan": {}}'}
    billing.lago.faults(
        *({**nothing, "count": None, "path": f"/api/v1/{kind}/"} for kind in ("subscriptions", "plans"))
    )
    seen = of_late(environ)
    assert (found(seen), [each.about for each in seen.untold]) == ({}, ["plans"] * 3)
    assert "Lago does not show the plan 'bare'" in seen.untold[0].says


LIMITED = [
    ("billable_metric", {*UNSUBSCRIBED}),
    ("subscription", set()),
]


def test_a_limited_key_says_which_permission_would_tell(proxy_db: Database, all_kinds: Billing) -> None:
    environ = environment(proxy_db, all_kinds.lago)
    for resource, expected in LIMITED:
        body = f'{{"status": 403, "code": "read_action_not_allowed_for_{resource}", "error": "Forbidden"}}'
        path = f"/api/v1/{resource}s"
        all_kinds.lago.faults({"kind": "status", "status": 403, "body": body, "count": None, "path": path})
        seen = of_late(environ)
        assert set(found(seen)) == expected
        assert len(seen.untold) == 1
        assert f"Give it the permission to read {resource} " in seen.untold[0].says
        assert seen.unknown == (11 if resource == "subscription" else 0)
        all_kinds.lago.clear_faults()
