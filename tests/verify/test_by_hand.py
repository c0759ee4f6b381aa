"""Each leg's numbers come out of the SQL and the commands that docs/verify.md gives."""

import json
import os
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.docs.test_documentation import DOCS, code_blocks
from tests.frozen.conftest import REASON, frozen, look, moment
from tests.periods.conftest import Billing, long_ago
from tests.support import environment, reconcile
from tests.verify.conftest import ONE, code, is_open, kinds, leg, verify
from tests.verify.test_daily_tables import NOON, billed, daily

QUERIES = dict(zip("abcd", code_blocks(DOCS["verify.md"], "sql"), strict=True))
COMMANDS = dict(zip(("c", "d", "ended"), code_blocks(DOCS["verify.md"], "sh"), strict=True))


def query(source: Database, name: str, column: int) -> Decimal:
    """What a column of a leg's query sums up to."""
    return sum((row[column] or Decimal() for row in source.fetch(QUERIES[name])), Decimal())


def test_leg_a(proxy_db: Database, lago: Sandbox) -> None:
    environ = billed(proxy_db, lago, {"end_user": "acme", "spend": 0.5}, {"end_user": "globex", "spend": 0.25})
    daily(proxy_db, "LiteLLM_DailyEndUserSpend", "end_user_id", {"acme": 0.5, "globex": 0.75})
    of_day = {day: figures for day, *figures in proxy_db.fetch(QUERIES["a"])}[NOON.date()]
    sides = leg(verify(environ), "a").days[NOON.date()]
    assert of_day == [sides.expected, sides.found] == [Decimal("1.25"), Decimal("0.75")]


@pytest.mark.proof
def test_leg_b_and_c_with_a_credit_on_record(proxy_db: Database, lago: Sandbox) -> None:
    """Rows were moved away, the customer was credited, and that was put on record: no drift."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(*(spend_row(startTime=moment(), spend=cost, end_user="acme") for cost in (4.0, 1.1e-05)))
    reconcile(environ, since="2d")
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 1 WHERE spend = 4')
    look(environ, proxy_db)
    assert kinds(leg(verify(environ), "b")) == {"frozen": 1}
    [bucket] = frozen(environ)["frozen"]
    assert run(environ, "frozen", "accept", bucket["id"], *REASON).returncode == 0
    report = verify(environ)
    b, c = leg(report, "b"), leg(report, "c")
    assert (b.rate, kinds(b), kinds(c), code(report), is_open(report)) == (ONE, {}, {}, 0, False)
    assert [query(proxy_db, "b", 1), query(proxy_db, "b", 2)] == [b.sides.expected, b.sides.found]
    assert b.sides.found == Decimal("1.000011")
    report = verify(environ, "2d")
    assert query(proxy_db, "c", 2) == leg(report, "c").sides.found == Decimal("4.000011")


@pytest.mark.proof
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
def test_what_lago_holds_and_counts(proxy_db: Database, lago: Sandbox) -> None:
    billing = Billing(lago)
    with closing(billing.api):
        billing.subscribe(made=long_ago())
        environ = environment(proxy_db, lago)
        start = datetime.now(UTC) - timedelta(minutes=20)
        proxy_db.insert(*(spend_row(startTime=start, spend=0.25, model=model) for model in ("one", "other")))
        reconcile(environ, since="2h")
        [(window,)] = proxy_db.fetch("SELECT DISTINCT window_start AT TIME ZONE 'UTC' FROM reconciler.event")

        def command(name: str) -> list[object]:
            end = window + timedelta(minutes=14, seconds=59)
            script = COMMANDS[name].replace("2026-11-24T12:00:00Z", f"{window:%Y-%m-%dT%H:%M:%SZ}")
            script = script.replace("2026-11-24T12:14:59.999Z", f"{end:%Y-%m-%dT%H:%M:%S}.999Z")
            done = subprocess.run(
                ["bash", "-euc", script], env=os.environ | environ, capture_output=True, text=True, check=True
            )
            return [json.loads(line) for line in done.stdout.splitlines()]

        d = leg(verify(environ), "d")
        assert d.sides.found == Decimal("0.5")
        assert command("c") == [2, 0.5]
        assert command("d") == ["0.5", 2, "0.5", 2]
        if start.month == datetime.now(UTC).month:
            assert proxy_db.fetch(QUERIES["d"]) == [(2, Decimal("0.5"))]
        billing.end()
        assert command("ended")[2:4] == ["0.5", 2]
