"""`reconcile quarantine`: see what Lago refuses for good, send it again, or give it up with a reason."""

import json
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests import commands
from tests.conftest import Database, spend_row
from tests.process import only_object, sentences
from tests.support import BATCH, EVENTS, assert_exact, environment, reconcile


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter with three events accepted, and two that Lago called invalid."""
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", spend=0.25) for number in range(5)))
    invalid = {"timestamp": ["invalid_format"]}
    refusal = {"status": 422, "code": "validation_errors", "error_details": {"1": invalid, "3": invalid}}
    lago.faults({"kind": "status", "status": 422, "body": json.dumps(refusal), "path": BATCH})
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h")
    return environ


def quarantined(environ: dict[str, str]) -> list[dict[str, Any]]:
    listed = commands.run(environ, "quarantine", "--json")
    assert listed.returncode == 0
    found: list[dict[str, Any]] = only_object(listed)["quarantined"]
    return found


def states(database: Database) -> dict[str, str]:
    return dict(database.fetch(f"SELECT customer, state FROM {EVENTS}"))


def test_it_lists_them_for_people_and_for_programs_and_an_empty_list_says_so(
    environ: dict[str, str], proxy_db: Database
) -> None:
    found = quarantined(environ)
    assert [event["cost"] for event in found] == ["0.25", "0.25"]
    assert {event["answer"] for event in found} == {"422 {'timestamp': ['invalid_format']}"}
    shown = commands.run(environ, "quarantine")
    assert shown.returncode == 0
    assert "2 events, 0.50 USD" in shown.stdout
    for event in found:
        assert event["transaction_id"][:10] in shown.stdout
        assert event["customer"] in shown.stdout
    assert len(only_object(commands.run(environ, "quarantine", "--json", "--meter", "default"))["quarantined"]) == 2
    assert commands.run(environ, "quarantine", "list").stdout == shown.stdout
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'accepted'")
    assert commands.run(environ, "quarantine", "list").stdout == "No event is quarantined.\n"


def test_show_has_all_of_one_by_the_beginning_of_its_id(environ: dict[str, str]) -> None:
    [event, _] = quarantined(environ)
    shown = commands.run(environ, "quarantine", "show", event["transaction_id"][:16])
    assert shown.returncode == 0
    assert event["transaction_id"] in shown.stdout
    assert event["answer"] in shown.stdout
    as_json = only_object(commands.run(environ, "quarantine", "show", event["transaction_id"], "--json"))
    assert event.items() <= as_json.items()
    assert as_json["event"]["properties"]["response_cost"] == "0.25"


def test_retry_sends_the_same_bytes_with_the_next_pass(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    [event, other] = quarantined(environ)
    before = dict(proxy_db.fetch("SELECT customer, payload FROM reconciler.event"))
    done = commands.run(environ, "quarantine", "retry", event["transaction_id"])
    assert (done.returncode, done.stdout) == (0, "1 event planned again; the next pass sends it.\n")
    assert reconcile(environ).delivered.accepted == 1
    assert states(proxy_db)[other["customer"]] == "quarantined"
    assert (
        commands.run(environ, "quarantine", "retry", "--all").stdout
        == "1 event planned again; the next pass sends it.\n"
    )
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)
    assert dict(proxy_db.fetch("SELECT customer, payload FROM reconciler.event")) == before


def test_discard_keeps_the_reason_and_clears_the_alarm(environ: dict[str, str], proxy_db: Database) -> None:
    ids = [event["transaction_id"] for event in quarantined(environ)]
    done = commands.run(environ, "quarantine", "discard", *ids, "--reason", "a test customer")
    assert (done.returncode, done.stdout) == (0, "2 events discarded: a test customer\n")
    kept = proxy_db.fetch(
        f"SELECT DISTINCT state, reason, decided_at IS NOT NULL FROM {EVENTS} WHERE state <> 'accepted'"
    )
    assert kept == [("discarded", "a test customer", True)]
    again = reconcile(environ)
    assert (again.exit_code, again.tally.events_planned) == (0, 0), "what is discarded counts as billed"


def test_what_is_asked_for_must_be_there_and_nothing_is_done_otherwise(
    environ: dict[str, str], proxy_db: Database
) -> None:
    before = states(proxy_db)
    [event, _] = quarantined(environ)
    for arguments, said in {
        ("show", "r1_nothing"): "No quarantined event has an id that begins with 'r1_nothing'",
        ("retry", event["transaction_id"], "r1_nothing"): "Nothing was done",
        ("retry", "r1_"): "More than one quarantined event has an id that begins with 'r1_'",
        ("retry",): "Say which",
        ("retry", "--all", event["transaction_id"]): "Say which",
        ("discard", "--reason", "x"): "Say which",
        ("discard", event["transaction_id"]): "needs a reason",
        ("discard", event["transaction_id"], "--reason", "  "): "needs a reason",
    }.items():
        refused = commands.run(environ, "quarantine", *arguments)
        assert refused.returncode == 2, arguments
        assert said in refused.stderr
    assert states(proxy_db) == before


@pytest.mark.no_ledger
def test_without_a_ledger_it_says_what_to_do(proxy_db: Database, lago: Sandbox) -> None:
    refused = commands.run(environment(proxy_db, lago), "quarantine")
    assert refused.returncode == 1
    assert sentences(refused) == ["There is no ledger yet: run `reconcile` once, or `reconcile ledger upgrade`."]


@pytest.mark.proof
@pytest.mark.parametrize("decision", ["retry", "discard"])
def test_deciding_about_a_conflict_lets_its_bucket_go_on(decision: str, proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    row = spend_row(spend=0.25)
    proxy_db.insert(row)
    reconcile(environ, since="2h")
    # The ledger says something else than Lago took; a late row then waits behind the conflict.
    change = "UPDATE reconciler.event SET payload = replace(payload, {}) WHERE revision = 0"
    proxy_db.fetch(change.format("""'"0.25"', '"0.5"'"""))
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'planned', open_since = attempted_at")
    proxy_db.insert(spend_row(spend=0.125, startTime=row["startTime"]))
    assert reconcile(environ).exit_code == 3
    assert proxy_db.fetch(f"SELECT revision, state, held_for FROM {EVENTS} ORDER BY 1") == [
        (0, "quarantined", None),
        (1, "held", "conflict"),
    ]
    [event] = only_object(commands.run(environ, "quarantine", "--json"))["quarantined"]
    assert event["conflict"]
    if decision == "retry":
        proxy_db.fetch(change.format("""'"0.5"', '"0.25"'"""))  # the cause is mended
        assert commands.run(environ, "quarantine", "retry", "--all").returncode == 0
    else:
        assert commands.run(environ, "quarantine", "discard", "r1_", "--reason", "Lago's stands").returncode == 0
    done = reconcile(environ)
    assert done.exit_code == 0
    assert sorted(event["properties"]["response_cost"] for event in lago.events()) == ["0.125", "0.25"]


@pytest.mark.proof
def test_a_huge_customer_is_shown_in_brief(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, LAGO_API_CHARGE_BY="user_id")
    proxy_db.insert(spend_row(), spend_row(user="x" * 1_000_000))
    reconcile(environ, since="2h")
    shown = commands.run(environ, "quarantine")
    assert "1 event, 0.0000135 USD" in shown.stdout
    assert len(shown.stdout) < 10_000
    assert len(json.dumps(quarantined(environ))) < 10_000
    assert len(commands.run(environ, "quarantine", "show", "r1_").stdout) < 20_000
    whole = only_object(commands.run(environ, "quarantine", "show", "r1_", "--json"))["event"]
    assert whole["properties"]["customer"] == "x" * 1_000_000
