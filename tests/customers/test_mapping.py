"""Whose subscription a customer's usage goes to: by template, by a CSV file or by a table that the operator keeps."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.capture.mapping import read_mapping
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import cursor, execute
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import SettingsError
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database, new_database, spend_row
from tests.support import assert_exact, counted, environment, let_time_pass, reconcile

CSV = 'customer,subscription\nacme,sub-1\n"o\'hara ""q"" \\",sub 2\n" acme",sub-3\n🦊,"füchse, GmbH"\n'
MAPPED = {"acme": "sub-1", 'o\'hara "q" \\': "sub 2", " acme": "sub-3", "🦊": "füchse, GmbH"}


HEAD = b"customer,subscription\n"


def subscriptions(lago: Sandbox) -> set[str]:
    return {subscription for subscription, _ in counted(lago)}


@pytest.mark.parametrize("template", ["litellm-{id}", "100%-{id} %s'{id}\"\\"])
def test_a_template_names_every_subscription(proxy_db: Database, lago: Sandbox, template: str) -> None:
    customers = ["acme", "o'hara", "{id}", "🦊"]
    proxy_db.insert(*(spend_row(end_user=customer) for customer in customers))
    reconcile(environment(proxy_db, lago, RECONCILE_SUBSCRIPTION=template), since="2h")
    assert subscriptions(lago) == {template.replace("{id}", customer) for customer in customers}
    assert_exact(proxy_db, lago, subscription=lambda customer: template.replace("{id}", customer))


def test_a_csv_file_names_subscriptions(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("\ufeff" + CSV, encoding="utf-8")  # as spreadsheets begin it
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
        (b"", "it must begin with a header that names customer and subscription"),
        (b"id,subscription\nacme,sub-1\n", "it must begin with a header"),
        (b"acme,sub-1\n", "it must begin with a header"),
        (b"customer|subscription\nacme|sub-1\n", "it must begin with a header"),
        (b"customer,subscription,customer\n", "its header names customer twice"),
        (b"customer,Subscription , subscription\n", "its header names subscription twice"),
        (HEAD + b"acme, inc,sub_x\n", "line 2 has 3 fields where the header has 2: write a name that holds a comma in"),
        (b"customer;subscription\nacme; inc;sub_x\n", "line 2 has 3 fields where the header has 2"),
        (HEAD + b"acme\n", "line 2 has 1 field where the header has 2"),
        (HEAD + b"acme;sub-1\n", "line 2 has 1 field where the header has 2"),
        (HEAD + b"a,1\n\nacme,\n", "line 4 lacks a subscription"),
        (HEAD + b" ,sub-1\n", "line 2 lacks a customer"),
        (HEAD + b"a,1\ncustomer,subscription\nb,2\n", "line 3 is the header again"),
        (HEAD + b"a,1\nacme,sub-1\nb,2\nacme,sub-2\n", "line 5 gives the customer of line 3 another subscription"),
        (HEAD + b"acme , sub-1\n", "line 2 has a blank before or after its customer"),
        (HEAD + b"acme, sub-1\n", "line 2 has a blank before or after its subscription"),
        (HEAD + b"acme,sub-1\t\n", "line 2 has a blank before or after its subscription"),
        (HEAD + b"a,1\n\xfcchse,sub-1\n", "line 3 is not in UTF-8: save it as CSV in UTF-8"),
        ((HEAD + b"acme,sub-1\n").decode().encode("utf-16"), "it is in UTF-16: save it as CSV in UTF-8"),
        (HEAD + b"a,1\nac\0me,sub-1\n", "line 3 holds a NUL byte"),
        (HEAD + b'"acme" x,sub-1\n', "line 2 can't be read"),
        (HEAD + b'a,1\n"acme,sub-1\nb,2\n', "line 3 has a quote that is never closed"),
        (HEAD + b'a,1\n"ac\nme",sub-1\n', "line 3 holds a line break within a name"),
        (
            HEAD + b"a,\nb,\nc,\nd,\ne,\n",
            "line 2 lacks a subscription; line 3 lacks a subscription; line 4 lacks a subs",
        ),
        (HEAD + b"a,\nb,\nc,\nd,\ne,\n", "; and 2 more"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_mapping(file)
    sentence = str(caught.value)
    assert sentence.startswith(f"RECONCILE_MAPPING: {file}: ")
    assert said in sentence
    assert "\n" not in sentence
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"acme,sub-1",
        HEAD.replace(b"\n", b"\r\n") + b"acme,sub-1\r\n\r\n",
        HEAD.replace(b"\n", b"\r") + b"acme,sub-1\r",
        b"\xef\xbb\xbf" + HEAD + b"acme,sub-1\nacme,sub-1\n",
        b'"customer";"subscription"\n"acme";"sub-1"\n;\n',
        b"Customer\tSubscription\tnote\nacme\tsub-1\t\n\t\t\n",
        b" subscription , customer ,,\nsub-1,acme,,\n,,,\n",
    ],
)
def test_what_spreadsheets_write_is_understood(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(content)
    assert read_mapping(file) == {"acme": "sub-1"}


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "nowhere.csv", "can't be read (No such file or directory)"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe", "is not a file"),
        (tmp_path / ("x" * 300), "can't be read (File name too long)"),
    ):
        with pytest.raises(SettingsError) as caught:
            read_mapping(path)
        assert str(caught.value).startswith(f"RECONCILE_MAPPING: {path} {said}")


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    for number in range(3):
        file.write_bytes(HEAD + b"acme,sub-1\n" * (number + 1) + b"b,%d\n" % number)
        assert read_mapping(file)["b"] == str(number)


def test_a_big_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(HEAD + b"".join(b"customer %d,sub %d\n" % (n, n) for n in range(40_000)))
    assert len(read_mapping(file)) == 40_000


def test_of_a_big_file_a_chunk_takes_its_own_customers(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(HEAD + b"".join(b"customer %d,sub %d\n" % (n, n) for n in range(100)))
    settings = load_settings(environ=environment(proxy_db, lago, RECONCILE_MAPPING=str(file)))
    with open_ledger(settings).transaction() as connection:
        execute(connection, "capture/totals_table")
        for customer in ("customer 7", "customer 77", "nobody", "x" * 100_000):
            total = "INSERT INTO pg_temp.totals VALUES (now(), %(customer)s, 'm', 'billable', 1, 1, 1, 1)"
            cursor(connection).execute(total, {"customer": customer})
        Subscriptions(settings.meters[0]).load(connection)
        found = cursor(connection).execute("SELECT * FROM pg_temp.mapping ORDER BY 1").fetchall()
    assert found == [("customer 7", "sub 7"), ("customer 77", "sub 77")]


def test_a_bad_file_is_said_at_the_start_of_a_pass_and_nothing_is_planned_or_sent(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "customers.csv"
    file.write_bytes(HEAD + b"acme, inc,sub_x\n")
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(file))
    with pytest.raises(SettingsError, match="line 2 has 3 fields"):
        reconcile(environ)  # there is no usage yet
    proxy_db.insert(spend_row())
    with pytest.raises(SettingsError, match="line 2 has 3 fields"):
        reconcile(environ, since="2h")
    assert proxy_db.fetch("SELECT FROM reconciler.event") == []
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


def test_a_table_that_does_not_give_each_customer_one_subscription_is_refused(
    proxy_db: Database, lago: Sandbox
) -> None:
    """Also where a template would name one."""
    proxy_db.fetch("CREATE TABLE public.subs (customer text, subscription text)")
    proxy_db.fetch("""INSERT INTO public.subs VALUES ('acme', 'sub-1'), ('acme', 'sub-2'), ('globex', 'sub-3'),
                      ('globex', 'sub-3'), ('initech', ''), (repeat('u', 300), NULL), ('v', 'sub-4'), ('v', NULL),
                      ('w', ' '), (NULL, 'sub-5'), ('', NULL)""")
    proxy_db.insert(spend_row(), spend_row(end_user="globex"))
    environ = environment(proxy_db, lago, RECONCILE_MAPPING="table:public.subs")
    for template in ({"RECONCILE_SUBSCRIPTION": "customer-{id}"}, {}):
        with pytest.raises(SettingsError) as caught:
            reconcile(environ | template, since="2h")
        assert str(caught.value) == (
            "RECONCILE_MAPPING: the table public.subs in the ledger's database must give each customer one "
            f"subscription: 'acme' has two; 'initech' has an empty one; '{'u' * 100}… (300 characters)' has an empty "
            "one; and 2 more; mend or delete these rows."
        )
    assert proxy_db.fetch("SELECT FROM reconciler.event") == []

    proxy_db.fetch("DELETE FROM public.subs WHERE customer <> 'globex' AND subscription IS DISTINCT FROM 'sub-1'")
    assert reconcile(environ, since="2h").exit_code == 0
    names = {"acme": "sub-1", "globex": "sub-3"}
    assert_exact(proxy_db, lago, subscription=names.__getitem__)


def test_a_table_that_changes_for_the_worse_within_a_pass_bills_nobody_by_the_template(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy_db.fetch("CREATE TABLE public.subs (customer text, subscription text)")
    proxy_db.fetch("INSERT INTO public.subs VALUES ('acme', 'sub-1'), ('acme', 'SUB-1')")
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago, RECONCILE_MAPPING="table:public.subs", RECONCILE_SUBSCRIPTION="customer-{id}")
    monkeypatch.setattr(Subscriptions, "check", lambda *_: None)  # the table was sound when the pass began
    with pytest.raises(SettingsError, match="'acme' has two"):
        reconcile(environ, since="2h")
    assert proxy_db.fetch("SELECT FROM reconciler.event") == []


def test_a_table_that_cannot_serve_is_said(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.fetch("CREATE TABLE public.lacking (customer text)")
    for table in ("public.nowhere", "public.lacking"):
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
