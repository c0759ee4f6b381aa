"""`reconcile customers`: who was billed how much, what is stuck, and who can't be billed, each with name and USD."""

import csv
import tempfile
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.errors import ReconcileError
from reconciler.report import customers as report
from reconciler.report import kept
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, last_period, long_ago
from tests.process import only_object
from tests.support import customers, environment, reconcile

__all__ = ["billing"]
from tests.periods.conftest import billing


def listed(environ: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only_object(run(environ, "customers", "--json", *arguments))["customers"]
    return found


def test_each_has_its_usage_its_subscription_and_what_is_stuck(proxy_db: Database, billing: Billing) -> None:
    billing.subscribe("acme", made=long_ago())
    proxy_db.insert(
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5),
        spend_row(spend=1.25),
        spend_row(spend=0.125, model="other"),
        spend_row(spend=0.0625, end_user="nobody subscribed"),
    )
    environ = environment(proxy_db, billing.lago)
    since = f"{last_period():%Y-%m-%d}"
    reconcile(environ, since=since)

    acme, nobody = listed(environ, "--since", since)
    assert (acme["customer"], acme["cost"], acme["held_cost"], acme["status"]) == ("acme", "1.875", "0.5", "active")
    assert (acme["requests"], acme["input_tokens"], acme["output_tokens"], acme["events"]) == (3, 30, 60, 3)
    assert (nobody["customer"], nobody["cost"], nobody["status"]) == ("nobody subscribed", "0.0625", "none")
    assert listed(environ, "--since", since, "--unsubscribed") == [nobody]
    assert [each["cost"] for each in listed(environ, "--since", "1d")] == ["1.375", "0.0625"]

    shown = run(environ, "customers", "list", "--since", since, "--limit", "1").stdout
    assert "nobody subscribed" not in shown
    assert "there are more: --limit N" in shown
    rows = list(csv.DictReader(StringIO(run(environ, "customers", "--csv", "--since", since).stdout)))
    assert [row["customer"] for row in rows] == ["acme", "nobody subscribed"]


def test_a_reader_that_pauses_keeps_no_transaction_open(
    proxy_db: Database, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "IN_MEMORY", 100)  # so that the list goes to a file
    customers(proxy_db, 3)
    environ = environment(proxy_db, billing.lago)
    reconcile(environ, since="2h")
    settings = load_settings(environ=environ)
    read = report.customers(settings, None, long_ago(), unsubscribed=False, limit=None)
    first = next(read)
    open_ones = """SELECT query FROM pg_stat_activity
                   WHERE datname = current_database() AND state LIKE 'idle in transaction%'"""
    assert proxy_db.fetch(open_ones) == []
    found = [first, *read]
    assert [line.customer for line in found] == [f"customer {number}" for number in range(3)]
    assert [line.as_json() for line in found] == listed(environ)

    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(ReconcileError, match="make room for it, or name another folder in TMPDIR"):
        next(report.customers(settings, None, long_ago(), unsubscribed=False, limit=None))


@pytest.mark.proof
def test_usage_without_a_customer_is_told_by_day_and_model(
    proxy_db: Database, ledger: Database, billing: Billing
) -> None:
    now = datetime.now(UTC) - timedelta(minutes=40)
    proxy_db.insert(
        spend_row(end_user=None, spend=0.5, startTime=now),
        spend_row(end_user=" ", spend=0.25, startTime=now),
        spend_row(end_user="", spend=0.125, startTime=now - timedelta(days=2), model="other"),
        spend_row(startTime=now),
        spend_row(end_user="", spend=8, startTime=now - timedelta(days=5)),
    )
    environ = environment(proxy_db, billing.lago, ledger=ledger)
    assert reconcile(environ, since="3d").tally.unattributed_rows == 3
    assert [
        (line["day"], line["model"], line["requests"], line["input_tokens"], line["cost"])
        for line in listed(environ, "--unattributed", "--since", "7d")
    ] == [
        (f"{now:%Y-%m-%d}", "openai/gpt-4o-mini", 2, 20, "0.75"),
        (f"{now - timedelta(days=2):%Y-%m-%d}", "other", 1, 10, "0.125"),
    ]
    assert "2 lines since" in run(environ, "customers", "--unattributed", "--since", "7d").stdout, "8 USD are not ours"
    reconcile(environ, since="6d", until="4d")
    assert [line["cost"] for line in listed(environ, "--unattributed", "--since", "7d")] == ["0.75", "0.125", "8"]
    assert run(environ, "customers", "--unattributed", "--unmapped").returncode == 2
    ledger.fetch("UPDATE reconciler.meter SET source = jsonb_set(source, '{database}', '\"elsewhere\"')")
    assert "the source's database was elsewhere" in run(environ, "customers", "--unattributed").stderr


def test_customers_that_the_mapping_lacks_are_named(
    proxy_db: Database, ledger: Database, billing: Billing, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.csv"
    mapping.write_text("customer,subscription\nacme,sub_acme\n")
    proxy_db.insert(
        spend_row(),
        spend_row(end_user="globex", spend=0.5),
        spend_row(end_user="globex", spend=0.5, model="other"),
        spend_row(end_user="initech", spend=2),
    )
    environ = environment(proxy_db, billing.lago, ledger=ledger, RECONCILE_MAPPING=str(mapping))
    reconcile(environ, since="2h")
    assert [(line["customer"], line["buckets"], line["cost"]) for line in listed(environ, "--unmapped")] == [
        ("initech", 1, "2"),
        ("globex", 2, "1"),
    ]
    assert "3.00 USD. RECONCILE_MAPPING lacks them." in run(environ, "customers", "--unmapped").stdout
    mapping.write_text("customer,subscription\nacme,sub_acme\nglobex,g\ninitech,i\n")
    reconcile(environ, since="2h")
    assert listed(environ, "--unmapped") == []
    assert "RECONCILE_MAPPING lacks no customer with usage" in run(environ, "customers", "--unmapped").stdout
