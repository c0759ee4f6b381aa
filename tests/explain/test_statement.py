"""`reconcile explain`: the answer to "why does my bill say that?"."""

import csv
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.sandbox import Sandbox
from tests.cli.test_eighty_columns import on_terminal
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.frozen.conftest import REASON, frozen, look
from tests.periods.conftest import Billing
from tests.process import only_object, sentences
from tests.support import CODE, environment, reconcile, world
from tests.verify.conftest import verify

__all__ = ["billing"]
from tests.periods.conftest import billing

NOW = datetime.now(UTC)
"""One moment for all rows: no window ends between two of them."""

ONE, OTHER = "openai/gpt-4o-mini", "anthropic/claude"


def at(days: int) -> datetime:
    """A moment so many days ago, of a window that is over, wherever midnight is."""
    return NOW - timedelta(days=days, minutes=40)


def billed(source: Database, billing: Billing, folder: Path) -> dict[str, str]:
    """The settings of a meter with two days, two models, a late revision, a credit, excluded rows, a mapping."""
    began = f"{datetime.now(UTC) - timedelta(days=10):%Y-%m-%d}"  # no period ends within the tests' days
    billing.subscribe("together", billing_time="anniversary", subscription_at=began)
    mapping = folder / "mapping.csv"
    mapping.write_text("customer,subscription\nacme,together\nglobex,together\n")
    source.insert(
        spend_row(startTime=at(2), spend=0.5),
        spend_row(startTime=at(2), spend=1e-7, request_id="first"),
        spend_row(startTime=at(1), spend=0.25, model=OTHER, request_id="lowered"),
        spend_row(startTime=at(1), spend=4, api_key="internal"),
        spend_row(startTime=at(1), spend=0, status="failure"),
        spend_row(startTime=at(1), spend=2, end_user="globex"),
        spend_row(startTime=at(1), spend=8, end_user="initech"),
        spend_row(startTime=at(2), spend=1, api_key="internal", request_id="left out"),
        spend_row(startTime=at(2), spend=float("nan"), request_id="not a number"),
    )
    environ = environment(source, billing.lago, RECONCILE_MAPPING=str(mapping), RECONCILE_EXCLUDE="key:internal")
    reconcile(environ, since="4d")
    source.insert(spend_row(startTime=at(2), spend=0.125, request_id="late"))
    source.fetch("""UPDATE "LiteLLM_SpendLogs" SET spend = 0.2 WHERE request_id = 'lowered'""")
    look(environ, source)
    [bucket] = frozen(environ)["frozen"]
    assert run(environ, "frozen", "accept", bucket["id"], *REASON).returncode == 0
    reconcile(environ)
    return environ


@pytest.fixture
def changing(proxy_db: Database, billing: Billing, tmp_path: Path) -> dict[str, str]:
    """Such a meter for a test that changes it."""
    return billed(proxy_db, billing, tmp_path)


@pytest.fixture(scope="module")
def environ(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Such a meter for tests that change nothing."""
    with world(postgres) as (source, lago), closing((billing := Billing(lago)).api):
        environ = billed(source, billing, tmp_path_factory.mktemp("explain"))
        assert source.fetch("SELECT count(*) FROM reconciler.billed_period") == [(0,)]
        yield environ
        assert source.fetch("SELECT count(*) FROM reconciler.billed_period") == [(0,)], "nothing is written"


def explained(environ: dict[str, str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one meter's statement that a program gets."""
    done = run(environ, "explain", *arguments, "--json")
    assert done.returncode == code, done.stderr
    [statement] = json.loads(done.stdout)["meters"]
    found: dict[str, Any] = statement
    return found


@pytest.mark.proof
def test_source_equals_events_less_credits_per_day_and_model(environ: dict[str, str]) -> None:
    found = explained(environ, "acme")
    lines = {(line["day"], line["model"]): line for line in found["lines"]}
    assert list(lines) == sorted(lines)
    assert lines.keys() == {(f"{at(2):%Y-%m-%d}", ONE), (f"{at(1):%Y-%m-%d}", ONE), (f"{at(1):%Y-%m-%d}", OTHER)}
    used, left_out, lowered = (lines[f"{at(days):%Y-%m-%d}", model] for days, model in ((2, ONE), (1, ONE), (1, OTHER)))
    assert (used["requests"], used["input_tokens"], used["output_tokens"], used["cost"]) == (3, 30, 60, "0.6250001")
    assert (used["events"], used["events_cost"], used["accepted_cost"]) == (2, "0.6250001", "0.6250001")
    assert (lowered["cost"], lowered["events_cost"], lowered["credited_cost"]) == ("0.2", "0.25", "0.05")
    assert (left_out["cost"], left_out["events"]) == ("0", 0)
    assert (left_out["excluded_rows"], left_out["excluded_cost"], left_out["failed_rows"]) == (1, "4", 1)
    for line in (*found["lines"], found["total"]):
        for measure in ("cost", "requests", "input_tokens", "output_tokens"):
            assert line[measure] == line[f"billed_{measure}"], (line, measure)
        assert (line["differs_cost"], line["differences"]) == ("0", [])
        assert Decimal(line["events_cost"]) - Decimal(line["credited_cost"]) == Decimal(line["cost"])

    assert [(event["model"], event["revision"], event["cost"], event["state"]) for event in found["events"]] == [
        (OTHER, 0, "0.25", "accepted"), (ONE, 1, "0.125", "accepted"), (ONE, 0, "0.5000001", "accepted"),
    ]  # fmt: skip
    assert [(credit["cost"], credit["reason"]) for credit in found["credits"]] == [("0.05", REASON[1])]
    [counted] = found["counted"]
    assert (counted["subscription"], counted["unit"], counted["why"]) == ("together", "USD", None)
    assert (counted["sent"], counted["own"], counted["counted"]) == ("2.8750001", "0.8750001", "2.8750001")

    one_day = explained(environ, "acme", "--since", f"{at(2):%Y-%m-%d}", "--until", f"{at(1):%Y-%m-%d}")
    assert one_day["lines"] == [used]
    assert len(one_day["events"]) == 2


@pytest.mark.proof
def test_people_see_cents_and_exact_sums_in_80_columns(environ: dict[str, str], tmp_path: Path) -> None:
    shown = on_terminal(environ, "explain", "acme")
    for text in (
        f"{at(2):%Y-%m-%d}  {ONE}", "0.63", "0.25",
        "source 0.8250001 USD, events 0.8750001 USD - credits 0.05 USD = 0.8250001 USD billed. They agree to the last",
        "Left out by RECONCILE_EXCLUDE or RECONCILE_CACHE_HITS: 2 rows, 5 USD.",
        "Left out since they failed and cost nothing: 1 row.",
        "Credits on record", REASON[1],
        "Lago counts exactly what was sent: 4 events, 2.8750001 USD.",
        "Events of other customers or meters go to the same subscription.",
    ):  # fmt: skip
        assert text in shown, (text, shown)
    tables = [line for line in shown.splitlines() if line.startswith(("day", "20", "id ", "r1_"))]
    assert tables
    assert all(len(line) <= 80 for line in tables), shown

    path = tmp_path / "acme.csv"
    assert run(environ, "explain", "acme", "--csv", str(path)).stdout == ""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["cost"], row["billed_cost"]) for row in rows] == [
        (ONE, "0.6250001", "0.6250001"), (OTHER, "0.2", "0.2"), (ONE, "0", "0"),
    ]  # fmt: skip
    assert run(environ, "explain", "acme", "--csv", "-").stdout == path.read_text()
    refused = run(environ, "explain", "acme", "--csv", "/nowhere/x.csv")
    assert (refused.returncode, "/nowhere/x.csv can't be written" in sentences(refused)[0]) == (1, True)


@pytest.mark.proof
def test_each_difference_says_by_how_much_and_why(changing: dict[str, str], proxy_db: Database) -> None:
    environ = changing
    proxy_db.insert(spend_row(startTime=datetime.now(UTC), spend=0.0625), spend_row(spend=1))
    proxy_db.insert(spend_row(startTime=at(1), spend=16))
    proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET spend = 0.1 WHERE request_id = 'lowered'""")
    proxy_db.fetch(
        """UPDATE reconciler.batch SET state = 'held', held_for = 'closed period', answered_at = NULL
           WHERE id = (SELECT batch FROM reconciler.event WHERE revision = 1)"""
    )
    found = explained(environ, "acme")
    assert {each["why"]: (each["buckets"], each["cost"]) for each in found["total"]["differences"]} == {
        "not settled yet": (1, "0.0625"),
        "not billed yet, next pass": (1, "1"),
        "not billed yet": (1, "16"),
        "frozen": (1, "-0.1"),
    }
    total = found["total"]
    assert (total["differs_cost"], total["held_cost"]) == ("16.9625", "0.125")
    assert Decimal(total["cost"]) - Decimal(total["billed_cost"]) == Decimal("16.9625")
    shown = run(environ, "explain", "acme").stdout
    assert "They differ by 16.9625 USD:" in shown
    assert "- frozen: 1 bucket, -0.1 USD." in shown
    assert "Of the events 0.125 USD are held: see `reconcile held`." in shown

    unmapped = explained(environ, "initech")
    assert [(each["why"], each["cost"]) for each in unmapped["total"]["differences"]] == [("unmapped", "8")]
    assert (unmapped["events"], unmapped["subscriptions"], unmapped["counted"]) == ([], [], [])


def test_the_rows_of_one_event_are_told_by_the_rules_of_the_totals(environ: dict[str, str], tmp_path: Path) -> None:
    late, first = (each["transaction_id"] for each in explained(environ, "acme")["events"] if each["model"] == ONE)
    found = only_object(run(environ, "explain", "acme", "--event", late[:15], "--json"))
    assert (found["event"]["transaction_id"], found["event"]["revision"]) == (late, 1)
    assert {row["request_id"]: row["cost"] for row in found["rows"]}.items() >= {
        ("first", "0.0000001"),
        ("late", "0.125"),
    }
    assert found["bucket"] == {
        "events": 2, "billed_cost": "0.6250001", "requests": 3, "input_tokens": 30, "output_tokens": 60,
        "cost": "0.6250001",
    }  # fmt: skip
    shown = run(environ, "explain", "acme", "--event", first).stdout
    assert "Billable: 3 rows, 30 input and 60 output tokens, 0.6250001 USD." in shown
    assert "Which row came with which revision can't be told" in shown

    path = tmp_path / "rows.csv"
    assert run(environ, "explain", "acme", "--event", first, "--csv", str(path)).returncode == 0
    with path.open() as file:
        verdicts = {row["request_id"]: row["verdict"] for row in csv.DictReader(file)}
    assert (len(verdicts), verdicts["late"], verdicts["left out"], verdicts["not a number"]) == (
        5, "billable", "excluded", "suspect",
    )  # fmt: skip
    refused = run(environ, "explain", "globex", "--event", first)
    assert (refused.returncode, "No event of this customer has an id" in sentences(refused)[0]) == (2, True)


@pytest.mark.proof
def test_what_lago_lacks_is_said_and_without_lago_all_else_is_shown(
    changing: dict[str, str], billing: Billing, proxy_db: Database
) -> None:
    environ = changing
    proxy_db.fetch("UPDATE reconciler.batch SET answered_at = answered_at - interval '11 minutes'")
    billing.lago.forget(CODE)
    [counted] = explained(environ, "acme")["counted"]
    assert (counted["sent"], counted["counted"], counted["why"]) == ("2.8750001", "0", "counts less")
    assert "- counts less: Lago counts less than was sent" in run(environ, "explain", "acme").stdout

    billing.lago.faults({"kind": "status", "status": 401, "count": None})
    done = run(environ, "explain", "acme")
    assert done.returncode == 1
    assert "They agree to the last decimal" in done.stdout
    assert "Lago could not be asked what it counts" in done.stdout
    assert "401" in sentences(done)[0]
    found = explained(environ, "acme", code=1)
    assert (len(found["lines"]), found["counted"], "401" in found["error"]) == (3, [], True)


def test_a_customer_of_whom_nothing_is_known_is_said_in_a_sentence(environ: dict[str, str]) -> None:
    for arguments, said in (
        (("nobody at all", "--since", "30d"), "and billing starts at"),
        (("acmee",), "did you mean 'acme'?"),
        (("lobe",), "did you mean 'globex'?"),
        (("nobody at all",), "`reconcile customers` lists who was billed"),
        (("acme", "--since", "2h"), "other days have usage: name them by --since and --until"),
        ((" ",), "`reconcile customers --unattributed`"),
        (("acme", "--event", "r1_", "--since", "2d"), "--event is of one window"),
        (("acme", "--csv", "-", "--json"), "two formats"),
    ):
        done = run(environ, "explain", *arguments)
        assert (done.returncode, len(sentences(done))) == (2, 1), (arguments, done.stderr)
        assert said in sentences(done)[0]


def test_a_statement_and_a_verification_have_the_same_sums(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(*(spend_row(startTime=at(days), spend=1.1e-9 / 3, model=ONE) for days in (2, 2, 1)))
    reconcile(environ, since="3d")
    proxy_db.insert(spend_row(startTime=at(1), spend=0.1), spend_row(startTime=at(2), spend=7, model=OTHER))
    reconcile(environ, since="3d")
    proxy_db.insert(spend_row(startTime=at(1), spend=0.25))  # not billed yet: source and ledger differ

    report = verify(environ, since="3d")
    [told] = only_object(run(environ, "explain", "acme", "--since", "3d", "--json"))["meters"]

    sums = {name: Decimal(told["total"][name]) for name in ("cost", "billed_cost", "accepted_cost")}
    [table, sent] = [each for each in report.legs if each.name in "bc"]
    assert (table.sides.expected, table.sides.found) == (sums["cost"], sums["billed_cost"])
    assert (sent.sides.expected, sent.sides.found) == (sums["accepted_cost"], sums["accepted_cost"])
    assert sums["cost"] - sums["billed_cost"] == Decimal("0.25")
