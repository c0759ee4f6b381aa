"""`reconcile move`: what it shows, asks for and refuses."""

import json
import os
import pty
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests import forks
from tests.conftest import Database, spend_row
from tests.move.conftest import OTHER, REASON, Billing, Mapping, at, billing, everything
from tests.process import only_object, run, sentences
from tests.support import CODE, reconcile, states

__all__ = ["billing"]

MOVE = ("move", "acme", "--to", "acme", "--since", "9d")


@pytest.fixture
def billed(proxy_db: Database, billing: Billing, environ: dict[str, str]) -> dict[str, str]:
    billing.subscribe("acme", made=at(9))
    proxy_db.insert(spend_row(startTime=at(1), spend=0.5), spend_row(startTime=at(), spend=0.25, model=OTHER))
    reconcile(environ, since="9d")
    return environ


def test_it_shows_everything_first_and_does_nothing_unless_a_person_agrees(
    proxy_db: Database, billed: dict[str, str], mapping: Mapping
) -> None:
    tables = "SELECT (SELECT count(*) FROM reconciler.subscription), (SELECT last_value FROM reconciler.batch_id)"
    before = everything(proxy_db), proxy_db.fetch(tables)
    done = run(billed, *MOVE, "--dry-run")
    assert done.returncode == 0
    assert (everything(proxy_db), proxy_db.fetch(tables)) == before
    heading, columns, first, second, total = done.stdout.splitlines()
    assert "usage of acme that goes to acme" in heading
    assert columns.split()[:4] == ["day", "(UTC)", "model", "from"]
    assert first.split()[:7] == [f"{at(1):%Y-%m-%d}", "openai/gpt-4o-mini", "globex", "1", "10", "20", "0.5"]
    assert "taken back there, billed anew" in second
    assert "2 events of 0.75 USD" in total
    assert "Usage to come still goes to 'globex'" in done.stderr

    done = run(billed, *MOVE, "--reason", REASON)
    assert (done.returncode, "Nothing was moved" in sentences(done)[0]) == (1, True)
    for arguments, code in ((MOVE, 2), ((*MOVE, "--reason", REASON), 1)):
        assert only_object(run(billed, *arguments, "--json"))["exit_code"] == code
    assert everything(proxy_db) == before[0]

    mapping.write(acme="acme")
    done = run(billed, *MOVE, "--reason", REASON, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 events planned, half of them to take usage back" in done.stdout
    assert states(proxy_db) == {"accepted": 2, "planned": 4}
    done = run(billed, *MOVE, "--yes", "--reason", REASON, "--json")
    said = only_object(done)
    assert (done.returncode, said["lines"], said["planned"], said["exit_code"]) == (0, [], 0, 0)
    done = run(billed, "events", "--json")
    assert sorted(Decimal(each["cost"]) for each in only_object(done)["events"])[:2] == [
        Decimal("-0.5"),
        Decimal("-0.25"),
    ]


@pytest.mark.proof
@pytest.mark.parametrize(("says", "code"), [("n", 1), ("y", 0)])
def test_a_person_is_asked_once_all_was_shown(says: str, code: int, proxy_db: Database, billed: dict[str, str]) -> None:
    keyboard, side = pty.openpty()
    os.write(keyboard, f"{says}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *MOVE, "--reason", REASON],
        env=forks.environment() | billed,
        stdin=side,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    for each in (keyboard, side):
        os.close(each)
    shown, asked, after = done.stdout.partition("Move these 0.75 USD? [y/N]:")
    assert (done.returncode, bool(asked)) == (code, True), done.stdout
    assert "2 events of 0.75 USD" in shown
    assert "Usage to come still goes to 'globex'" in shown
    assert ("4 events planned" if code == 0 else "Nothing was moved") in after
    assert states(proxy_db) == ({"accepted": 2, "planned": 4} if code == 0 else {"accepted": 2})


@pytest.mark.proof
def test_what_makes_no_sense_is_refused(proxy_db: Database, billing: Billing, billed: dict[str, str]) -> None:
    for arguments, code, said in (
        (MOVE, 2, "This needs a reason"),
        (("move", "acme", "--to", " ", "--since", "9d", "--dry-run"), 2, "Say whose usage"),
        (("move", "acme", "--to", "acmee", "--since", "9d", "--dry-run"), 2, "Lago knows no subscription 'acmee'"),
        (("move", "acne", "--to", "acme", "--since", "9d", "--dry-run"), 2, "did you mean 'acme'?"),
        (("move", "acme", "--to", "acme", "--since", "1m", "--dry-run"), 2, "Nothing is billed of the customer 'acme'"),
        (("move", "acme", "--to", "acme", "--since", "soon", "--dry-run"), 2, "'soon' is no date"),
        ((*MOVE, "--dry-run", "--meter", "other"), 1, "other"),
    ):
        done = run(billed, *arguments)
        assert (done.returncode, len(sentences(done))) == (code, 1), (arguments, done.stderr)
        assert said in sentences(done)[0]
    assert billing.api.delete(f"billable_metrics/{CODE}").status_code == 200
    metric = {"name": "Most", "code": CODE, "aggregation_type": "max_agg", "field_name": "response_cost"}
    billing.ask("POST", "billable_metrics", {"billable_metric": metric})
    done = run(billed, *MOVE, "--yes", "--reason", REASON, "--json")
    refused = only_object(done)
    assert (done.returncode, refused["planned"]) == (1, 0)
    assert "is no sum (max_agg)" in refused["error"]
    assert states(proxy_db) == {"accepted": 2}


@pytest.mark.proof
def test_a_charge_in_advance_is_told_and_what_a_key_may_not_read(billing: Billing, billed: dict[str, str]) -> None:
    charge = {"billable_metric_code": CODE, "pay_in_advance": True}
    plan = json.dumps({"plan": {"code": "llm", "charges": [charge]}})
    billing.subscribe("globex", made=at(9))
    billing.lago.faults({"kind": "status", "status": 200, "body": plan, "path": "/api/v1/plans/llm"})
    done = run(billed, *MOVE, "--dry-run")
    assert done.returncode == 3
    assert "globex: what takes back 0.75 USD (2 events) will be sent, and may credit nothing: a charge" in done.stderr

    billing.lago.permissions(subscription=[], billable_metric=[])
    done = run(billed, *MOVE, "--dry-run")
    assert done.returncode == 0
    assert "may not read Lago's billable metrics" in done.stderr
    assert "may not read Lago's subscriptions" in done.stderr


def test_of_two_meters_one_is_to_be_named(proxy_db: Database, billed: dict[str, str], tmp_path: Path) -> None:
    proxy_db.fetch(
        """INSERT INTO reconciler.meter (name, start, watermark, source, lago, organization)
           SELECT 'tokens', start, watermark, source, lago, organization FROM reconciler.meter"""
    )
    for table in ("terms", "window"):
        names = proxy_db.fetch(
            """SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
               WHERE table_schema = 'reconciler' AND table_name = %s AND column_name <> 'meter'""",
            table,
        )[0][0]
        proxy_db.fetch(
            f'INSERT INTO reconciler."{table}" (meter, {names}) SELECT \'tokens\', {names} FROM reconciler."{table}"'
        )
    proxy_db.fetch("UPDATE reconciler.event SET meter = 'tokens' WHERE cost = 0.25")
    config = tmp_path / "reconcile.toml"
    config.write_text('[meters.default]\n[meters.tokens]\nlago_api_event_code = "other"\n')
    done = run(billed, *MOVE, "--dry-run", "--config", str(config))
    assert done.returncode == 2
    assert "The meters 'default' and 'tokens' have billed this customer elsewhere" in sentences(done)[0]
