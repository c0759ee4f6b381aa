"""What was credited by hand in Lago is put on record, and the bucket starts from there."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests import process
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.frozen.conftest import REASON, frozen, kinds, look, moment
from tests.process import only_object, sentences
from tests.support import TURN, counted, environment, let_time_pass, reconcile

MODEL = "openai/gpt-4o-mini"


@pytest.fixture
def ledger(request: pytest.FixtureRequest, proxy_db: Database, empty_db: Database) -> Database:
    """Beside the source, unless a test asks for both places."""
    return empty_db if getattr(request, "param", "") == "elsewhere" else proxy_db


@pytest.fixture
def environ(proxy_db: Database, ledger: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter by which acme's rows were billed, and then given to globex by an UPDATE."""
    proxy_db.insert(
        spend_row(startTime=moment() - timedelta(days=1)),
        *(spend_row(startTime=moment(), spend=2.0, request_id=f"moved {number}") for number in range(2)),
        spend_row(startTime=moment(), spend=1.0),
    )
    environ = environment(proxy_db, lago, ledger=None if ledger is proxy_db else ledger)
    reconcile(environ, since="3d")
    proxy_db.fetch("UPDATE \"LiteLLM_SpendLogs\" SET end_user = 'globex' WHERE request_id LIKE 'moved%'")
    done = look(environ, ledger)
    assert (kinds(done), done.tally.frozen_buckets) == (["frozen"], 1)
    return environ


def accept(environ: dict[str, str], *more: str) -> Any:
    [bucket] = frozen(environ)["frozen"]
    done = run(environ, "frozen", "accept", bucket["id"], *REASON, *more)
    assert (done.returncode, done.stderr) == (0, "")
    return bucket


def figures(environ: dict[str, str]) -> dict[str, Any]:
    [meter] = only_object(run(environ, "status", "--json"))["meters"]
    return {name: meter[name] for name in ("frozen_buckets", "cost_frozen", "credited_buckets", "cost_credited")}


@pytest.mark.parametrize(
    "ledger", ["beside the source", pytest.param("elsewhere", marks=pytest.mark.proof)], indirect=True
)
def test_new_usage_of_a_bucket_is_billed_after_its_credit_is_on_record(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    [bucket] = frozen(environ)["frozen"]
    assert (bucket["customer"], bucket["model"]) == ("acme", MODEL)
    below = ("cost", "requests", "input_tokens", "output_tokens")
    assert [bucket[name] for name in below] == ["4", 2, 20, 40]
    assert (bucket["billed_cost"], bucket["source_cost"], bucket["accepted_cost"]) == ("5", "1", "5")
    sent = len(lago.events())

    assert "would be put on record" in run(environ, "frozen", "accept", bucket["id"][:8], *REASON, "--dry-run").stdout
    assert frozen(environ)["frozen"] == [bucket]
    done = run(environ, "frozen", "accept", bucket["id"][:8], *REASON)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 bucket, 4 USD on record as credited in Lago" in done.stdout

    assert figures(environ) == {
        "frozen_buckets": 0, "cost_frozen": "0", "credited_buckets": 1, "cost_credited": "4",
    }  # fmt: skip
    quiet = reconcile(environ)
    assert (kinds(quiet), quiet.exit_code, quiet.tally.events_planned, len(lago.events())) == ([], 0, 0, sent)

    proxy_db.insert(spend_row(startTime=moment(), spend=3.0))
    let_time_pass(ledger, "61 minutes")
    billed = reconcile(environ)
    assert (billed.tally.events_planned, billed.tally.cost_planned) == (1, Decimal(3))
    assert look(environ, ledger).tally.events_planned == 0

    by_customer = only_object(run(environ, "customers", "--json"))["customers"]
    assert {line["customer"]: line["credited_cost"] for line in by_customer} == {"acme": "4", "globex": "0"}

    # In Lago are 8 USD of acme's, of which 4 are credited by hand; the rest is what the source holds.
    assert counted(lago)["acme", MODEL].cost == Decimal("8.0000135")
    events, credited = ledger.fetch(
        """SELECT sum(cost) FROM reconciler.event WHERE customer = 'acme'
           UNION ALL SELECT sum(cost) FROM reconciler.credit WHERE customer = 'acme' AND undone_at IS NULL"""
    )
    assert events[0] - credited[0] == Decimal("4.0000135")
    assert sum(usage.cost for usage in counted(lago).values()) - 4 == _source(proxy_db)


def _source(proxy_db: Database) -> Decimal:
    [(cost,)] = proxy_db.fetch('SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs"')
    return Decimal(cost)


@pytest.mark.proof
def test_rows_that_come_back_after_a_credit_are_billed_again(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    accept(environ)
    proxy_db.fetch("UPDATE \"LiteLLM_SpendLogs\" SET end_user = 'acme' WHERE request_id LIKE 'moved%'")
    back = look(environ, ledger)
    assert (back.tally.events_planned, back.tally.cost_planned) == (1, Decimal(4))
    [other] = frozen(environ)["frozen"]
    assert (other["customer"], other["cost"], kinds(back)) == ("globex", "4", ["frozen"])
    revisions = "SELECT revision FROM reconciler.event WHERE customer = 'acme' ORDER BY window_start, revision"
    assert ledger.fetch(revisions) == [(0,), (0,), (1,)]
    assert counted(lago)["acme", MODEL].cost == Decimal("9.0000135")


@pytest.mark.proof
def test_only_what_is_below_is_credited_and_what_is_above_is_billed(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """Fewer tokens and a higher price: the tokens are credited, the price is billed by the next pass."""
    accept(environ)
    proxy_db.fetch(
        """UPDATE "LiteLLM_SpendLogs" SET completion_tokens = 15, spend = 7
           WHERE end_user = 'acme' AND spend = 1"""
    )
    look(environ, ledger)
    bucket = accept(environ)
    assert (bucket["billed_cost"], bucket["source_cost"]) == ("1", "7")
    assert (bucket["cost"], bucket["output_tokens"], bucket["input_tokens"], bucket["requests"]) == ("0", 5, 0, 0)
    done = reconcile(environ)
    assert (done.tally.events_planned, done.tally.cost_planned, kinds(done)) == (1, Decimal(6), [])
    assert [credit["cost"] for credit in frozen(environ)["credits"]] == ["4", "0"]
    assert look(environ, ledger).tally.events_planned == 0


@pytest.mark.proof
def test_a_credit_is_accepted_once_and_for_the_amounts_that_were_shown(
    proxy_db: Database, ledger: Database, environ: dict[str, str]
) -> None:
    """Three dollars of new usage between the list and the decision: one would be on record of four credited."""
    [shown] = frozen(environ)["frozen"]
    proxy_db.insert(spend_row(startTime=moment(), spend=3.0))
    refused = run(environ, "frozen", "accept", shown["id"], *REASON)
    assert refused.returncode == 2
    [sentence] = sentences(refused)
    assert "One that has changed since it was listed has another id. Nothing was done." in sentence
    [now] = frozen(environ)["frozen"]
    assert now["cost"] == "1"
    assert ledger.fetch("SELECT count(*) FROM reconciler.credit") == [(0,)]

    # Two people at once, as sure as can be: both wait for the meter's turn.
    with ThreadPoolExecutor(2) as pool:
        with ledger.connect(autocommit=False) as turn:
            turn.execute(TURN.encode())
            tries = [pool.submit(process.run, environ, "frozen", "accept", now["id"], *REASON) for _ in range(2)]
        codes = sorted(each.result().returncode for each in tries)
    assert codes == [0, 2]
    assert run(environ, "frozen", "accept", now["id"], *REASON).returncode == 2
    assert ledger.fetch("SELECT count(*), sum(cost) FROM reconciler.credit") == [(1, 1)]


@pytest.mark.proof
def test_a_credit_is_undone_only_by_a_person_with_a_reason(
    ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    bucket = accept(environ)
    [credit] = frozen(environ)["credits"]
    assert (credit["id"], credit["reason"]) == (bucket["id"], REASON[1])
    assert credit["accepted_by"]
    sent = len(lago.events())

    assert run(environ, "frozen", "undo", credit["id"]).returncode == 2
    done = run(environ, "frozen", "undo", credit["id"], "--reason", "the credit note was voided")
    assert (done.returncode, done.stderr) == (0, "")
    assert figures(environ)["cost_frozen"] == "4"
    found = frozen(environ)
    assert ([each["cost"] for each in found["frozen"]], found["credits"]) == (["4"], [])
    assert kinds(reconcile(environ)) == ["frozen"]
    assert len(lago.events()) == sent
    assert ledger.fetch("SELECT undone_by IS NOT NULL, undone_reason FROM reconciler.credit") == [
        (True, "the credit note was voided")
    ]
    assert run(environ, "frozen", "undo", credit["id"], "--reason", "again").returncode == 2

    # Accepted again, it is a credit of its own.
    assert accept(environ)["id"] != bucket["id"]
    assert ledger.fetch("SELECT number, undone_at IS NULL FROM reconciler.credit ORDER BY 1") == [(0, False), (1, True)]


@pytest.mark.proof
def test_a_bucket_whose_rows_are_all_gone_is_credited_to_nothing(
    proxy_db: Database, ledger: Database, environ: dict[str, str]
) -> None:
    proxy_db.fetch("DELETE FROM \"LiteLLM_SpendLogs\" WHERE end_user = 'acme' AND spend = 1")
    look(environ, ledger)
    assert accept(environ)["cost"] == "5"
    done = look(environ, ledger)
    assert (done.tally.events_planned, done.tally.frozen_buckets, kinds(done)) == (0, 0, [])


@pytest.mark.proof
def test_what_retention_deletes_is_no_frozen_bucket_and_no_credit(
    proxy_db: Database, ledger: Database, environ: dict[str, str]
) -> None:
    """Deleted since the alarm rang, and no pass has looked since: the list compares anew, retention included."""
    [shown] = frozen(environ)["frozen"]
    proxy_db.insert(spend_row(startTime=moment() + timedelta(hours=1)))
    until = (moment() + timedelta(minutes=1)).replace(tzinfo=None)
    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" <= %s', until)
    assert frozen(environ)["frozen"] == []
    assert run(environ, "frozen", "accept", shown["id"], *REASON).returncode == 2
    assert ledger.fetch("SELECT purge_mark FROM reconciler.meter") == [(None,)], "a list leaves no trace"
