"""A dry run says what a real one would be refused for, what Lago would not bill, and about how long it takes."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from reconciler.capture.bring import Bringer
from reconciler.delivery.telling import ONE_BY_ONE
from reconciler.model.terms import Stretch
from reconciler.report.foreseen import takes
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, billing, last_period, long_ago, now
from tests.process import only_object, sentences
from tests.support import CODE, QUICK, customers, environment, reconcile

__all__ = ["billing"]

BEGIN, QUARTER = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=15)


def dry(environ: dict[str, str], *arguments: str) -> tuple[int, list[str], dict[str, Any]]:
    """The exit code of a dry run, its sentences, and its meter's object."""
    done = run(environ, "--dry-run", "--since", "1d", "--json", *arguments)
    return done.returncode, sentences(done), only_object(done)["meters"][-1]


def test_a_real_run_would_be_refused_for_its_key_code_or_organization(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)
    for wrong, said in (
        ({"LAGO_API_KEY": "wrong"}, "LAGO_API_KEY is not a key of this organization"),
        ({"LAGO_API_EVENT_CODE": "llm_usgae"}, "has no billable metric with the code 'llm_usgae'"),
        ({"LAGO_API_BASE": "http://127.0.0.1:9"}, "can't be reached"),
    ):
        code, told, meter = dry(environ | wrong)
        assert (code, meter["rows"]) == (1, 1), "the rest is still told"
        assert said in told[0]
    reconcile(environ, since="1d")
    proxy_db.fetch("UPDATE reconciler.meter SET organization = 'another'")
    code, told, _ = dry(environ)
    assert code == 1
    assert "has sent to Lago's organization another" in told[0]
    assert proxy_db.fetch("SELECT organization FROM reconciler.meter") == [("another",)]


@pytest.mark.no_ledger
def test_two_meters_on_one_code_would_be_refused_before_any_has_billed(
    proxy_db: Database, lago: Sandbox, tmp_path: Path
) -> None:
    proxy_db.insert(spend_row())
    config = tmp_path / "reconcile.toml"
    config.write_text(f'[meters.a]\nlago_api_event_code = "{CODE}"\n[meters.b]\nlago_api_event_code = "{CODE}"\n')
    environ = environment(proxy_db, lago, RECONCILE_CONFIG=str(config))
    del environ["LAGO_API_EVENT_CODE"], environ["LAGO_API_CHARGE_BY"]
    code, told, meter = dry(environ)
    assert (code, meter["meter"]) == (1, "b")
    assert "twice" in told[0]


def test_a_key_that_may_not_read_events_would_be_refused_and_one_that_may_not_read_invoices_is_told(
    proxy_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)
    for path, resource, code in (("/api/v1/events", "event", 1), ("/api/v1/invoices", "invoice", 0)):
        body = json.dumps({"status": 403, "code": f"read_action_not_allowed_for_{resource}", "error": "Forbidden"})
        lago.faults({"kind": "status", "status": 403, "body": body, "count": None, "path": path, "method": "GET"})
        found, told, meter = dry(environ)
        assert found == code
        assert resource in (told[0] if code else meter["warnings"][0])
        lago.clear_faults()


def test_unmapped_and_unsubscribed_and_late_usage_is_told_with_names(
    proxy_db: Database, ledger: Database, billing: Billing, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.csv"
    mapping.write_text("customer,subscription\nacme,acme\nnobody,nobody\n")
    billing.subscribe("acme", made=long_ago())
    proxy_db.insert(
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5),
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.25, end_user="nobody"),
        spend_row(spend=2),
        spend_row(spend=4, end_user="globex"),
    )
    environ = environment(proxy_db, billing.lago, ledger=ledger, RECONCILE_MAPPING=str(mapping))
    arguments = ("--dry-run", "--since", f"{last_period():%Y-%m-%d}")
    [meter] = only_object(run(environ, *arguments, "--json"))["meters"]
    assert (meter["events_planned"], meter["unmapped_buckets"]) == (3, 1)
    seen = meter["foreseen"]
    assert (seen["events_to_send"], seen["seconds"]) == (3, 0.4)
    assert [(one["kind"], one["events"], one["cost"], one["largest"]) for one in seen["unbillable"]] == [
        ("no subscription", 1, "0.25", [{"external_id": "nobody", "events": 1, "cost": "0.25"}]),
        ("closed period", 1, "0.5", [{"external_id": "acme", "events": 1, "cost": "0.5"}]),
    ]
    shown = run(environ, *arguments)
    assert shown.returncode == 0
    for line in (
        "  1 bucket without a subscription (4.00 USD): `reconcile customers --unmapped`",
        "  would send 3 events, which takes Lago about 0.4 s",
        "  1 event (0.25 USD) without a subscription in Lago: nobody (0.25 USD). Make one of that external id that",
        "  1 event (0.50 USD) from before the present billing period: acme (0.50 USD). Of acme: its billing ",
    ):
        assert line in shown.stdout


def test_the_source_is_read_once_and_again_only_where_usage_is_late(
    proxy_db: Database, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Stretch] = []
    totals = Bringer.totals

    def seen(bringer: Bringer, connection: Connection, stretch: Stretch, counted: datetime | None) -> datetime | None:
        read.append(stretch)
        return totals(bringer, connection, stretch, counted)

    monkeypatch.setattr(Bringer, "totals", seen)
    billing.subscribe("acme", made=long_ago())
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, billing.lago)
    since = f"{last_period():%Y-%m-%d}"

    def again() -> list[Stretch]:
        """What was read after the looks, which go forward."""
        back = (number for number, (one, other) in enumerate(pairwise(read), 1) if other.since < one.until)
        return read[next(back, len(read)) :]

    reconcile(environ, since=since, dry_run=True)
    assert (bool(read), again()) == (True, [])

    proxy_db.insert(spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5))
    read.clear()
    would = reconcile(environ, since=since, dry_run=True)
    assert would.foreseen is not None
    assert [(one.kind, one.usage.cost) for one in would.foreseen.outlook.unbillable] == [
        ("closed period", Decimal("0.5"))
    ]
    assert again()
    assert all(each.since < now() - timedelta(days=14) for each in again()), "acme's present month began at least then"


def test_a_lago_that_lists_its_subscriptions_for_long_ends_no_dry_run(proxy_db: Database, lago: Sandbox) -> None:
    """Two pages of 1.2 seconds each, where a transaction may wait for 2."""
    customers(proxy_db, ONE_BY_ONE + 1)
    lago.faults({"kind": "slow", "seconds": 1.2, "count": None, "path": "/api/v1/subscriptions", "method": "GET"})
    environ = environment(proxy_db, lago, RECONCILE_STATEMENT_TIMEOUT="1s")
    would = reconcile(environ, since="2h", dry_run=True, limits=replace(QUICK, idle=1.0))
    assert would.foreseen is not None
    assert [len(one.whose) for one in would.foreseen.outlook.unbillable] == [ONE_BY_ONE + 1]


@pytest.mark.proof
def test_usage_from_before_a_subscription_of_today_is_told_with_whose_it_is_and_held_with_the_cure(
    proxy_db: Database, billing: Billing
) -> None:
    billing.subscribe("acme", made=datetime.now(UTC) - timedelta(hours=1))
    a_month_ago = datetime.now(UTC) - timedelta(days=31)
    proxy_db.insert(spend_row(startTime=a_month_ago, spend=0.5))
    environ = environment(proxy_db, billing.lago)
    since = f"{a_month_ago:%Y-%m-%d}"
    shown = run(environ, "--dry-run", "--since", since).stdout
    [line] = [line for line in shown.splitlines() if "from before a subscription began" in line]
    assert line.startswith("  1 event (0.50 USD) from before a subscription began: acme (0.50 USD). ")
    assert "`reconcile held release --all --move`" in line

    done = run(environ, "--since", since)
    assert done.returncode == 3
    assert "1 event is held back (0.5 USD), most of it of acme (0.5 USD). Why: " in done.stderr
    assert "`reconcile held release --all --move`" in done.stderr


def test_a_first_look_that_bills_nothing_says_that_open_windows_follow(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(*(spend_row(startTime=moment) for moment in _now(proxy_db)))
    environ = environment(proxy_db, lago)
    for arguments in (("--dry-run",), ("--since", "1h")):
        [meter] = only_object(run(environ, *arguments, "--json"))["meters"]
        assert (meter["rows"], meter["open_rows"]) == (0, 3)
        moments = [datetime.now(UTC)]
        shown = run(environ, *arguments).stdout
        moments.append(datetime.now(UTC))
        said = re.search(
            r"  3 rows are in windows that are still open: passes from (\S+) UTC on bill them, (.+)", shown
        )
        assert said
        assert said.groups() in [_following(moment) for moment in moments]


def _following(now: datetime) -> tuple[str, str]:
    """From when on what is used now is billed: two minutes after its window has ended, the oldest that is open."""
    settle = timedelta(minutes=2)
    at = BEGIN + (now - settle - BEGIN) // QUARTER * QUARTER + QUARTER + settle
    minutes = -((now - at) // timedelta(minutes=1))
    return f"{at:%H:%M}", f"within {minutes} minute{'' if minutes == 1 else 's'}"


def _now(source: Database) -> list[Any]:
    [(now,)] = source.fetch("SELECT clock_timestamp()")
    return [now] * 3


@pytest.mark.parametrize(
    ("events", "seconds_a_batch", "connections", "rate", "seconds"),
    [(0, None, 2, None, 0), (1, None, 2, None, 0.42), (3690, None, 2, None, 15.54), (3690, 1.0, 2, None, 18.5),
     (3690, None, 2, 0.5, 74), (3690, 8.0, 2, 0.5, 148)],
)  # fmt: skip
def test_how_long_it_takes_follows_from_what_a_batch_takes_and_the_operators_rate(
    events: int, seconds_a_batch: float | None, connections: int, rate: float | None, seconds: float
) -> None:
    found = takes(events, 100, seconds_a_batch=seconds_a_batch, connections=connections, rate=rate)
    assert Decimal(str(found.total_seconds())) == Decimal(str(seconds))
