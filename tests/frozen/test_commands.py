"""`reconcile frozen`: what is shown, and what is refused."""

import csv
from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.frozen.conftest import REASON, frozen, look, moment
from tests.process import sentences
from tests.support import environment, reconcile

CUSTOMERS = {"acme": "4", "globex, inc": "0.25", "initech": "0.0000135"}


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter with a frozen bucket for each customer, in two windows."""
    rows = [
        spend_row(startTime=moment() + timedelta(hours=name == "initech"), end_user=name, spend=float(cost))
        for name, cost in CUSTOMERS.items()
    ]
    proxy_db.insert(spend_row(startTime=moment() - timedelta(days=1)), *rows)
    environ = environment(proxy_db, lago)
    reconcile(environ, since="3d")
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0 WHERE "startTime" > now() - interval \'12 hours\'')
    [alarm] = [each for each in look(environ, proxy_db).alarms if each["kind"] == "frozen"]
    assert "`reconcile frozen` lists them" in alarm["message"]
    return environ


@pytest.mark.proof
def test_who_which_window_and_how_much_is_listed_and_some_are_accepted(
    proxy_db: Database, environ: dict[str, str]
) -> None:
    found = frozen(environ)["frozen"]
    assert {bucket["customer"]: bucket["cost"] for bucket in found} == CUSTOMERS
    assert len({bucket["window"] for bucket in found}) == 2
    shown = run(environ, "frozen").stdout
    for bucket in found:
        assert all(bucket[name] in shown for name in ("id", "customer", "model", "cost"))
    assert "3 buckets, 4.2500135 USD." in shown
    rows = list(csv.DictReader(run(environ, "frozen", "--csv").stdout.splitlines()))
    assert [row["id"] for row in rows] == [bucket["id"] for bucket in found]
    assert "3 buckets frozen (4.25 USD): `reconcile frozen`" in run(environ).stdout

    some = [bucket["id"] for bucket in found if bucket["customer"] != "acme"]
    assert "2 buckets, 0.2500135 USD on record" in run(environ, "frozen", "accept", *some, *REASON).stdout
    alarm = run(environ, "alarm", "list", "--json").stdout
    assert "1 bucket holds less in the source than was billed (4 USD less), most of it of acme (4 USD):" in alarm
    left = frozen(environ)
    assert ([bucket["customer"] for bucket in left["frozen"]], len(left["credits"])) == (["acme"], 2)
    assert reconcile(environ).exit_code == 3
    assert "Credits on record" in run(environ, "frozen").stdout
    status = run(environ, "status").stdout
    assert "credited by hand (buckets)" in status


@pytest.mark.proof
def test_nonsense_and_a_meter_of_another_database_are_refused_and_nothing_is_done(
    proxy_db: Database, environ: dict[str, str]
) -> None:
    ids = [bucket["id"] for bucket in frozen(environ)["frozen"]]
    for arguments, said in (
        (("accept",), "Say which: `reconcile frozen accept ID… --reason TEXT`."),
        (("accept", *ids, "0123", *REASON), "No frozen bucket has an id that begins with '0123'"),
        (("accept", "", *REASON), "No frozen bucket has an id that begins with ''"),
        (("accept", *ids), "This needs a reason"),
        (("undo", "0123", *REASON), "No credit has an id that begins with '0123'"),
        (("--json", "--csv"), "two formats"),
    ):
        refused = run(environ, "frozen", *arguments)
        assert refused.returncode == 2
        assert said in sentences(refused)[0]
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.credit") == [(0,)]

    # A meter of another database is not compared with this one.
    unknown = run(environ, "frozen", "--meter", "west")
    assert (unknown.returncode, sentences(unknown)) == (
        1,
        ["The ledger has no meter 'west'; it has default."],
    )
    proxy_db.fetch('UPDATE reconciler.meter SET source = source || \'{"database": "elsewhere"}\'')
    refused = run(environ, "frozen")
    assert refused.returncode == 1
    assert "the source's database was elsewhere, now " in sentences(refused)[0]


def test_a_ledger_without_frozen_buckets_says_so(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    assert run(environ, "frozen").returncode == 1
    reconcile(environ)
    assert run(environ, "frozen", "list").stdout == "No bucket is frozen.\n"


def test_a_pass_counts_a_window_once_that_it_looks_at_again_after_a_credit(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(request_id="gone", spend=4), spend_row(spend=1), spend_row(end_user="", spend=2))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h")
    proxy_db.fetch("""DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = 'gone'""")
    reconcile(environ)
    [bucket] = frozen(environ)["frozen"]
    run(environ, "frozen", "accept", bucket["id"], *REASON)
    proxy_db.insert(spend_row(spend=8))
    seen = reconcile(environ).tally
    assert (seen.windows, seen.unattributed_rows, seen.unattributed_cost, seen.events_planned) == (4, 1, Decimal(2), 1)
