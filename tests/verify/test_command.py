"""The command: what people and programs get, and the exit code."""

from contextlib import closing

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, long_ago
from tests.process import only_object
from tests.support import CODE, environment, reconcile


@pytest.mark.proof
def test_a_verified_meter_and_one_that_drifts(proxy_db: Database, lago: Sandbox) -> None:
    billing = Billing(lago)
    with closing(billing.api):
        billing.subscribe("a\x1b[31mb", made=long_ago())
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=0.5, end_user="a\x1b[31mb"))
    reconcile(environ, since="2h")
    finished = run(environ, "verify")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "All settled windows from " in finished.stdout

    lago.forget(CODE)
    finished = run(environ, "verify", "--since", "2h")
    assert finished.returncode == 3
    assert "! default, leg c, missing in Lago: 1, 0.5 USD." in finished.stderr
    assert "a\\x1b[31mb" in finished.stdout

    finished = run(environ, "verify", "--since", "2h", "--json")
    answer = only_object(finished)
    [meter] = answer["meters"]
    b, c, d = meter["legs"][-3:]
    assert (finished.returncode, answer["exit_code"], meter["exit_code"]) == (3, 3, 3)
    assert (b["leg"], b["rate"], b["reading"], b["drift"]) == ("b", "1", "at 1", False)
    assert (c["leg"], c["expected"], c["found"], c["rate"], c["reading"]) == ("c", "0.5", "0", "0", "below 1")
    assert [(each["kind"], each["count"], each["amount"]) for each in c["differences"]] == [
        ("missing in Lago", 1, "0.5")
    ]
    assert (d["leg"], d["reading"]) == ("d", "at 1"), "what Lago has cached it goes on to show"


def test_what_it_can_not_do(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    finished = run(environ, "verify", "--json")
    assert finished.returncode == 1
    assert "run `reconcile` first" in only_object(finished)["meters"][0]["error"]
    proxy_db.insert(spend_row())
    reconcile(environ, since="2h")
    lago.refuse()
    finished = run(environ, "verify")
    assert finished.returncode == 1
    assert finished.stderr.count("can't be reached") == 1
    assert "b. the spend table by the ledger" in finished.stdout
    assert run(environ, "verify", "--since", "-1 fortnight").returncode == 2
    assert run(environ, "verify", "--since", "2h", "--until", "3h").returncode == 2
    proxy_db.fetch("UPDATE reconciler.meter SET lago = 'https://lago.example'")
    finished = run(environ, "verify")
    assert finished.returncode == 1
    assert f"LAGO_API_BASE was https://lago.example, now {lago.url}. So nothing can be compared" in finished.stderr
