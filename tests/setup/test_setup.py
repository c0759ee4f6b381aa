"""`reconcile setup`: Lago as it is before and after, what is shown, and the exit code."""

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify.setup.offer import offer
from reconciler.verify.setup.run import Setup
from tests import forks
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object, sentences
from tests.setup.conftest import CODE, Api
from tests.support import assert_exact, environment

HOSTILE = ["a\x1b[31mb", "../events", ".", 'quote"s and %41 {id} ü', "x" * 2_000]


def settings(source: Database, lago: Sandbox, **more: str) -> dict[str, str]:
    return environment(source, lago) | {"LAGO_API_EVENT_CODE": CODE} | more


def writes(lago: Sandbox) -> list[str]:
    return [each["path"] for each in lago.requests() if each["method"] != "GET"]


@pytest.mark.no_ledger
def test_usage_is_billed_after_setup_and_a_second_setup_makes_nothing(
    proxy_db: Database, lago: Sandbox, api: Api
) -> None:
    environ = settings(proxy_db, lago)
    now = datetime.now(UTC)
    for name in ["acme", *HOSTILE]:
        proxy_db.insert(*(spend_row(end_user=name, spend=0.1, startTime=now - timedelta(minutes=m)) for m in (20, 90)))
    api.post("customers", "customer", external_id="acme", name="Acme", currency="USD")
    lago.clear_requests()

    dry = run(environ, "setup", "--customers", "--dry-run", "--markup", "20")
    assert (dry.returncode, dry.stderr) == (0, "")
    calls = [line.split(" ", 2) for line in dry.stdout.splitlines() if line.startswith("POST ")]
    paths = [path.removeprefix("/api/v1/") for _, path, _ in calls]
    assert paths[:3] == ["billable_metrics", "plans", "subscriptions"] or paths[:2] == ["billable_metrics", "plans"]
    assert (paths.count("customers"), paths.count("subscriptions")) == (len(HOSTILE), 1 + len(HOSTILE))
    [charge] = json.loads(calls[1][2])["plan"]["charges"]
    assert charge["properties"] == {"amount": "1.2", "pricing_group_keys": ["model"]}
    assert lago.api_key not in dry.stdout
    assert "a\\x1b[31mb" in dry.stdout
    assert writes(lago) == []

    unasked = run(environ, "setup", "--customers", "--markup", "20")
    assert unasked.returncode == 1
    assert sentences(unasked) == [
        "Nothing was made. Add --yes to make it without a question, or --dry-run to see the calls."
    ]
    assert writes(lago) == []

    done = run(environ, "setup", "--customers", "--markup", "20", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert api.get("customers/acme", "customer")["name"] == "Acme"
    assert len(api.list("subscriptions")) == 1 + len(HOSTILE)
    lago.clear_requests()
    again = run(environ, "setup", "--customers", "--yes", "--json")
    assert writes(lago) == []
    found = only_object(again)
    assert (again.returncode, found["calls"], found["unfit"], found["never_billed"]) == (0, [], [], [])

    assert run(environ, "--since", "3h").returncode == 0
    assert_exact(proxy_db, lago, code=CODE)
    usage = api.client.get(
        "customers/acme/current_usage", params={"external_subscription_id": "acme", "apply_taxes": "false"}
    ).json()["customer_usage"]
    assert usage["charges_usage"][0]["units"] == "0.2"
    assert usage["amount_cents"] == 24
    verified = run(environ, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_cost_and_tokens_share_a_plan(proxy_db: Database, lago: Sandbox, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "reconcile.toml"
    file.write_text(
        'properties = "both"\n[meters.cost]\nlago_api_event_code = "c"\n'
        '[meters.tokens]\nlago_api_event_code = "t"\nmodel_column = "none"\n'
    )
    environ = {**environment(proxy_db, lago), "RECONCILE_CONFIG": str(file)}
    del environ["LAGO_API_EVENT_CODE"]
    wants = ["setup", "--sum", "tokens=total_tokens", "--yes"]
    refused = run(environ, *wants)
    assert refused.returncode == 2
    assert "nobody has said what they cost: add --price" in refused.stderr
    assert run(environ, *wants, "--price", "2.50").returncode == 0
    assert api.get("billable_metrics/c", "billable_metric")["field_name"] == "response_cost"
    assert api.get("billable_metrics/t", "billable_metric")["field_name"] == "total_tokens"
    charges = {one["billable_metric_code"]: one["properties"] for one in api.get("plans/llm", "plan")["charges"]}
    assert charges["c"]["amount"] == "1"
    assert charges["c"]["pricing_group_keys"] == ["model"]
    assert charges["t"] == {"amount": "0.0000025"}
    other = run(environ, *wants, "--price", "3")
    assert other.returncode == 3
    assert "does not charge 0.000003 for a unit of 't'" in other.stderr


METRIC = {"name": "m", "code": CODE, "aggregation_type": "sum_agg", "field_name": "response_cost"}


@pytest.mark.parametrize(
    ("metric", "plan", "said"),
    [
        (METRIC | {"aggregation_type": "max_agg"}, None, "aggregates by max_agg, not by sum_agg"),
        (METRIC | {"field_name": "cost"}, None, "sums the property 'cost', not input_tokens or output_tokens or resp"),
        (METRIC | {"recurring": True}, None, "is recurring"),
        (METRIC, {"charges": []}, "has no charge on the metric 'llm_usage'"),
        (METRIC, {"amount_currency": "EUR", "charges": [...]}, "is in EUR, and usage is in USD"),
    ],
)
def test_what_is_there_and_does_not_fit_is_said_and_left_alone(
    proxy_db: Database, lago: Sandbox, api: Api, metric: dict[str, object], plan: dict[str, object] | None, said: str
) -> None:
    made = api.post("billable_metrics", "billable_metric", **metric)
    if plan is not None:
        plain = {"name": "p", "code": "llm", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
        charge = {"billable_metric_id": made["lago_id"], "charge_model": "standard", "properties": {"amount": "1"}}
        charges = [charge for _ in plan["charges"]]  # type: ignore[attr-defined]
        api.post("plans", "plan", **plain | {"pay_in_advance": False} | plan | {"charges": charges})
    proxy_db.insert(spend_row())
    environ = settings(proxy_db, lago)
    lago.clear_requests()
    finished = run(environ, "setup", "--customers", "--yes")
    assert finished.returncode == 3
    assert said in finished.stderr
    assert "Setup changes nothing that is there" in finished.stderr
    assert writes(lago) == []


def test_whose_usage_can_not_be_billed_is_said(proxy_db: Database, lago: Sandbox, api: Api) -> None:
    environ = settings(proxy_db, lago)
    now = datetime.now(UTC)
    month_ago = now - timedelta(days=32)
    proxy_db.insert(
        spend_row(end_user="new", spend=0.25),
        spend_row(end_user="new", spend=7, startTime=month_ago),
        *(
            spend_row(end_user=name, spend=2)
            for name in (" blank", "ended", "euro", "elsewhere", "later", "soon", "upgraded")
        ),
        spend_row(end_user="y" * 3000),
    )
    assert run(environ, "setup", "--yes").returncode == 0
    charge = {
        "billable_metric_id": api.get(f"billable_metrics/{CODE}", "billable_metric")["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "1"},
    }
    plain = {"interval": "monthly", "amount_cents": 0, "pay_in_advance": False}
    api.post("plans", "plan", name="e", code="euro", amount_currency="EUR", charges=[charge], **plain)
    api.post("plans", "plan", name="f", code="free", amount_currency="USD", charges=[], **plain)

    def subscribe(name: str, plan: str = "llm", at: datetime = now - timedelta(days=1)) -> None:
        who = {"external_customer_id": name, "external_id": name}
        api.post("subscriptions", "subscription", plan_code=plan, subscription_at=at.isoformat(), **who)

    subscribe("ended")
    api.client.delete("subscriptions/ended").raise_for_status()
    api.post("customers", "customer", external_id="euro", currency="EUR")
    subscribe("elsewhere", "free")
    subscribe("later", at=now - timedelta(minutes=1))
    subscribe("soon", at=now + timedelta(days=3))
    subscribe("upgraded", "free")
    subscribe("upgraded")
    assert len(api.list("subscriptions", **{"status[]": "terminated"})) == 2
    lago.clear_requests()

    finished = run(environ, "setup", "--customers", "--yes", "--json")
    found = only_object(finished)
    assert finished.returncode == 3
    assert [(one["subscription"], one["cost"]) for one in found["never_billed"]] == [("new", "7")]
    said = "\n".join(found["unfit"])
    assert "called ' blank': it begins or ends with a blank" in said
    assert "The subscription 'ended' has ended at " in said
    assert "The customer 'euro' is billed in EUR" in said
    assert "1 subscription of those with usage, such as 'elsewhere', go by the plan 'free'" in said
    assert "The subscription 'later' began at " in said
    assert "2 USD with all that is older" in said
    assert "The subscription 'soon' begins at " in said
    assert "1 customer of meter 'default' can have no subscription" in said
    assert found["made"] == 2
    assert writes(lago) == ["/api/v1/customers", "/api/v1/subscriptions"]
    [new] = [one for one in api.list("subscriptions") if one["external_id"] == "new"]
    assert datetime.fromisoformat(new["started_at"]) < now - timedelta(hours=9)

    for_people = run(environ, "setup", "--customers")
    assert "2 USD with all that is older" in for_people.stderr


@pytest.mark.no_ledger
@pytest.mark.parametrize("kind", ["a file", "a table beside a ledger that is yet to be made elsewhere"])
def test_subscriptions_are_called_as_the_mapping_says(
    proxy_db: Database, empty_db: Database, lago: Sandbox, api: Api, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("customer,subscription\na,both\nb,both\nc,sub_c\n")
    rows = "VALUES ('a', 'both'), ('b', 'both'), ('c', 'sub_c')"
    empty_db.fetch(f"CREATE TABLE mine AS SELECT * FROM ({rows}) AS mine (customer, subscription)")
    elsewhere = {"RECONCILE_LEDGER_URL": empty_db.url, "RECONCILE_MAPPING": "table:public.mine"}
    here = {"DATABASE_URL": f"{proxy_db.url}?connection_limit=1", "RECONCILE_MAPPING": str(file)}
    environ = settings(proxy_db, lago, **(here if kind == "a file" else elsewhere))
    proxy_db.insert(*(spend_row(end_user=name, spend=1.5) for name in "abcd"))
    finished = run(environ, "setup", "--customers", "--yes")
    assert finished.returncode == 3
    assert "lacks 1 customer of meter 'default' with 1.5 USD: 'd' (1.5 USD)" in finished.stderr
    made = {one["external_id"]: one["external_customer_id"] for one in api.list("subscriptions")}
    assert made == {"both": "both", "sub_c": "c"}


def test_what_lago_refuses_stops_nobody_else_and_what_is_lacking_is_named(
    proxy_db: Database, lago: Sandbox, api: Api
) -> None:
    environ = settings(proxy_db, lago)
    proxy_db.insert(spend_row(end_user="a", spend=2), spend_row(end_user="b"))
    lago.permissions(plan=["read"])
    finished = run(environ, "setup", "--yes")
    assert finished.returncode == 1
    assert "LAGO_API_KEY may not write plans: give the key that permission in Lago" in finished.stderr
    assert finished.stderr.rstrip().endswith("What is there stays as it is.")
    lago.permissions()
    assert run(environ, "setup", "--yes").returncode == 0
    refusal = '{"status": 422, "error": "Unprocessable Entity", "error_details": {"external_id": ["no"]}}'
    lago.faults({"kind": "status", "status": 422, "path": "/api/v1/customers", "method": "POST", "body": refusal})
    finished = run(environ, "setup", "--customers", "--yes")
    assert finished.returncode == 3
    assert "! 'a': Lago at LAGO_API_BASE" in finished.stderr
    assert "Made: 2 of 4." in finished.stdout
    assert [one["external_id"] for one in api.list("subscriptions")] == ["b"]
    unasked = run(environ, "setup", "--plan", "other", "--json")
    assert (unasked.returncode, only_object(unasked)["made"]) == (1, 0)
    assert "Add --yes" in only_object(unasked)["error"]
    lago.refuse()
    finished = run(environ, "setup", "--json")
    assert finished.returncode == only_object(finished)["exit_code"] == 1
    assert "What is there stays as it is; run again." in finished.stderr


def test_what_came_while_a_person_was_asked_stays_as_it_is(proxy_db: Database, lago: Sandbox, api: Api) -> None:
    environ = settings(proxy_db, lago)
    proxy_db.insert(*(spend_row(end_user=name) for name in ("acme", "globex", "initech")))
    assert run(environ, "setup", "--yes").returncode == 0
    api.post("customers", "customer", external_id="acme", currency="USD")
    given = load_settings(environ=environ)
    with closing(Setup(given, offer(given.meters))) as work:
        found = work.look(customers=True)
        plain = {"interval": "monthly", "amount_cents": 0, "pay_in_advance": False, "charges": []}
        api.post("plans", "plan", name="m", code="mine", amount_currency="USD", **plain)
        api.post("subscriptions", "subscription", external_customer_id="acme", external_id="acme", plan_code="mine")
        api.post("customers", "customer", external_id="globex", currency="EUR")
        results = list(work.make(found))
    assert sorted(filter(None, results)) == [
        f"'{name}': the {kind} was made meanwhile. Run `reconcile setup` again."
        for name, kind in (("acme", "subscription"), ("globex", "customer"))
    ]
    plans = {one["external_id"]: one["plan_code"] for one in api.list("subscriptions")}
    assert plans == {"acme": "mine", "initech": "llm"}
    assert api.get("customers/globex", "customer")["currency"] == "EUR"


def test_a_period_begins_where_the_customer_is(proxy_db: Database, lago: Sandbox, api: Api) -> None:
    api.post("customers", "customer", external_id="acme", timezone="Asia/Kolkata")
    proxy_db.insert(spend_row())
    assert run(settings(proxy_db, lago), "setup", "--customers", "--yes").returncode in {0, 3}
    [made] = api.list("subscriptions")
    began = datetime.fromisoformat(made["started_at"]).astimezone(ZoneInfo("Asia/Kolkata"))
    assert (began.day, began.hour, began.minute) == (1, 0, 0)

    lago.permissions(organization=["write"])
    proxy_db.insert(spend_row(end_user="nobody knows"))
    assert run(settings(proxy_db, lago), "setup", "--customers", "--yes").returncode in {0, 3}
    [made] = [one for one in api.list("subscriptions") if one["external_id"] == "nobody knows"]
    began = datetime.fromisoformat(made["started_at"]).astimezone(timezone(timedelta(hours=14)))
    assert (began.day, began.hour, began.minute) == (1, 0, 0), "where the month begins first"


@pytest.mark.proof(seconds=3)
def test_a_person_at_a_terminal_is_asked(proxy_db: Database, lago: Sandbox, api: Api) -> None:
    environ = forks.environment() | settings(proxy_db, lago)
    terminal, theirs = os.openpty()
    command = [sys.executable, "-m", "reconciler", "setup"]
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        os.write(terminal, answer)
        finished = subprocess.run(
            command, env=environ, stdin=theirs, capture_output=True, text=True, timeout=60, check=False
        )
        assert finished.returncode == code, finished.stderr
        assert "Make these 2?" in finished.stderr
    os.close(terminal)
    os.close(theirs)
    assert api.get("plans/llm", "plan")["amount_currency"] == "USD"
