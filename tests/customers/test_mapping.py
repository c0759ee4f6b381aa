"""Whose subscription a customer's usage goes to: by template, by a CSV file or by a table that the operator keeps."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.model.errors import SettingsError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, new_database, spend_row
from tests.support import assert_exact, counted, environment, let_time_pass, reconcile

CSV = 'customer,subscription\nacme,sub-1\n"o\'hara ""q"" \\",sub 2\n" acme",sub-3\n🦊,"füchse, GmbH"\n'
MAPPED = {"acme": "sub-1", 'o\'hara "q" \\': "sub 2", " acme": "sub-3", "🦊": "füchse, GmbH"}


def subscriptions(lago: Sandbox) -> set[str]:
    return {subscription for subscription, _ in counted(lago)}


@pytest.mark.parametrize("template", ["litellm-{id}", "{id}", "{id}-{id}", "100%-{id}", "%s'{id}\"\\"])
def test_a_template_names_every_subscription(proxy_db: Database, lago: Sandbox, template: str) -> None:
    customers = ["acme", "o'hara", "{id}", "🦊"]
    proxy_db.insert(*(spend_row(end_user=customer) for customer in customers))
    reconcile(environment(proxy_db, lago, RECONCILE_SUBSCRIPTION=template), since="2h")
    assert subscriptions(lago) == {template.replace("{id}", customer) for customer in customers}
    assert_exact(proxy_db, lago, subscription=lambda customer: template.replace("{id}", customer))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_file_names_subscriptions(proxy_db: Database, lago: Sandbox, tmp_path: Path, mark: str) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(mark + CSV, encoding="utf-8")
    proxy_db.insert(*(spend_row(end_user=customer) for customer in MAPPED))
    summary = reconcile(environment(proxy_db, lago, RECONCILE_MAPPING=str(file)), since="2h")
    assert summary.exit_code == 0
    assert_exact(proxy_db, lago, subscription=MAPPED.__getitem__)


def test_two_customers_may_share_a_subscription(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("subscription,note,customer\ngroup,,acme\ngroup,of the first,globex\n")
    proxy_db.insert(spend_row(), spend_row(end_user="globex"))
    reconcile(environment(proxy_db, lago, RECONCILE_MAPPING=str(file)), since="2h")
    [usage] = counted(lago).values()
    assert (subscriptions(lago), usage.requests, usage.input_tokens) == ({"group"}, 2, 20)
    assert {event["properties"]["customer"] for event in lago.events()} == {"acme", "globex"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must begin with a header"),
        (b"id,subscription\nacme,sub-1\n", "must begin with a header"),
        (b"acme,sub-1\n", "must begin with a header"),
        (b"customer,subscription\nacme,\n", "line 2 of"),
        (b"customer,subscription\nacme\n", "line 2 of"),
        (b"customer,subscription\na,1\nacme,sub-1\nb,2\nacme,sub-2\n", "lists the customer of line 3 again in line 5"),
        (b"customer,subscription\n\xff\xfe,sub-1\n", "can't be read as CSV in UTF-8"),
        (b'customer,subscription\n"acme" x,sub-1\n', "can't be read as CSV in UTF-8"),
        (None, "can't be read as CSV in UTF-8"),
    ],
    ids=[
        "empty",
        "wrong header",
        "no header",
        "no subscription",
        "one field",
        "twice",
        "not UTF-8",
        "quotes",
        "no file",
    ],
)
def test_a_bad_csv_file_is_said_and_nothing_is_sent(
    proxy_db: Database, lago: Sandbox, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "customers.csv"
    if content is not None:
        file.write_bytes(content)
    proxy_db.insert(spend_row())
    with pytest.raises(SettingsError, match=r"^RECONCILE_MAPPING: ") as caught:
        reconcile(environment(proxy_db, lago, RECONCILE_MAPPING=str(file)), since="2h")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert lago.events() == []


@pytest.mark.parametrize("databases", ["one", "two"])
def test_the_operators_table_names_subscriptions(proxy_db: Database, lago: Sandbox, databases: str) -> None:
    with new_database(proxy_db.server) as other:
        ledger = other if databases == "two" else proxy_db
        ledger.fetch("CREATE SCHEMA billing")
        ledger.fetch('CREATE TABLE billing."Sub%s" (customer varchar(100) PRIMARY KEY, subscription text, note text)')
        for customer, subscription in MAPPED.items():
            ledger.fetch('INSERT INTO billing."Sub%%s" VALUES (%s, %s)', customer, subscription)
        proxy_db.insert(*(spend_row(end_user=customer) for customer in MAPPED))
        environ = environment(proxy_db, lago, ledger=ledger, RECONCILE_MAPPING="table:billing.Sub%s")
        assert reconcile(environ, since="2h").exit_code == 0
        assert_exact(proxy_db, lago, ledger=ledger, subscription=MAPPED.__getitem__)


def test_a_table_that_says_two_things_of_a_customer_says_nothing(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.fetch("CREATE TABLE public.subs (customer text, subscription text)")
    proxy_db.fetch("""INSERT INTO public.subs VALUES ('acme', 'sub-1'), ('acme', 'sub-2'), ('globex', 'sub-3'),
                      ('globex', 'sub-3'), ('initech', ''), ('umbrella', NULL)""")
    customers = ["acme", "globex", "initech", "umbrella"]
    proxy_db.insert(*(spend_row(end_user=customer) for customer in customers))
    summary = reconcile(environment(proxy_db, lago, RECONCILE_MAPPING="table:public.subs"), since="2h")
    assert subscriptions(lago) == {"sub-3"}
    assert summary.tally.unmapped_buckets == 3
    assert_exact(proxy_db, lago, where="end_user = 'globex'", subscription=lambda _: "sub-3")


@pytest.mark.parametrize("table", ["public.nowhere", "public.lacking"])
def test_a_table_that_cannot_serve_is_said(proxy_db: Database, lago: Sandbox, table: str) -> None:
    proxy_db.fetch("CREATE TABLE public.lacking (customer text)")
    with pytest.raises(SettingsError, match=rf"^RECONCILE_MAPPING: the table {table} .* lacks .*subscription"):
        reconcile(environment(proxy_db, lago, RECONCILE_MAPPING=f"table:{table}"), since="2h")


def test_unmapped_customers_wait_and_are_billed_once_mapped(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("customer,subscription\nacme,sub-1\n")
    rows = [spend_row(end_user=customer) for customer in ("acme", "globex", "initech")]
    proxy_db.insert(*rows, spend_row(end_user="globex", startTime=datetime.now(UTC) - timedelta(days=20)))
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(file))
    waiting = reconcile(environ, since="21d")
    assert subscriptions(lago) == {"sub-1"}
    assert waiting.as_json()["unmapped_buckets"] == 3
    assert [alarm["kind"] for alarm in waiting.alarms] == ["unmapped"]
    assert waiting.exit_code == 3
    assert waiting.balance is not None
    assert waiting.balance.unmapped_cost == 3 * waiting.tally.cost_planned

    file.write_text("customer,subscription\nacme,sub-1\nglobex,sub-2\ninitech,sub-3\n")
    let_time_pass(proxy_db, "2 days")
    found = reconcile(environ)
    assert found.delivered.accepted == 3
    assert (found.alarms, found.exit_code) == ([], 0)
    names = {"acme": "sub-1", "globex": "sub-2", "initech": "sub-3"}
    assert_exact(proxy_db, lago, subscription=names.__getitem__)


def test_with_a_template_too_only_exceptions_need_the_mapping(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("customer,subscription\nacme,sub-1\n")
    proxy_db.insert(spend_row(), spend_row(end_user="globex"))
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(file), RECONCILE_SUBSCRIPTION="customer-{id}")
    assert reconcile(environ, since="2h").exit_code == 0
    assert subscriptions(lago) == {"sub-1", "customer-globex"}


def test_a_changed_mapping_concerns_later_events_only(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("customer,subscription\nacme,old\n")
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(file))
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    file.write_text("customer,subscription\nacme,new\n")
    assert reconcile(environ).tally.events_planned == 0
    proxy_db.insert(spend_row())
    assert reconcile(environ).delivered.accepted == 1
    sent = proxy_db.fetch("SELECT revision, subscription, payload FROM reconciler.event ORDER BY revision")
    assert [(revision, name) for revision, name, _ in sent] == [(0, "old"), (1, "new")]
    assert [json.loads(payload)["external_subscription_id"] for *_, payload in sent] == ["old", "new"]
    assert {name: usage.requests for (name, _), usage in counted(lago).items()} == {"old": 1, "new": 1}
