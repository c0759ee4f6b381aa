"""`reconcile held`: see what waits for a decision, have it billed now, send it as it is, or give it up."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests import commands
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, last_period, long_ago
from tests.process import only_object, run, sentences
from tests.support import EVENTS, environment, reconcile, reconcile_while_undecided


@pytest.fixture
def environ(proxy_db: Database, billing: Billing) -> dict[str, str]:
    """The settings of a meter with two customers' events of last month held, the invoices being final."""
    for name in ("acme", "globex"):
        billing.subscribe(name, made=long_ago())
    proxy_db.insert(
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5),
        spend_row(startTime=last_period() + timedelta(hours=1), spend=0.25, end_user="globex"),
    )
    environ = environment(proxy_db, billing.lago)
    assert reconcile(environ, since=f"{last_period():%Y-%m-%d}").delivered.held == 2
    return environ


def held(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The held events, by their customers."""
    return {event["customer"]: event for event in only_object(commands.run(environ, "held", "--json"))["held"]}


def decisions(ledger: Database) -> list[tuple[Any, ...]]:
    return ledger.fetch(f"SELECT customer, state, reason, decided_by IS NOT NULL FROM {EVENTS} ORDER BY 1")


def test_they_are_listed_with_who_how_much_and_why(environ: dict[str, str]) -> None:
    found = held(environ)
    assert {name: event["cost"] for name, event in found.items()} == {"acme": "0.5", "globex": "0.25"}
    assert {event["held_for"] for event in found.values()} == {"closed period"}
    shown = commands.run(environ, "held", "list").stdout
    assert "2 events, 0.75 USD. `reconcile events show ID` says more of one." in shown
    for event in found.values():
        assert event["transaction_id"] in shown
        assert event["answer"] in shown
    assert commands.run(environ, "held", "--csv").stdout.count("\n") == 3
    assert "2 events held (0.75 USD): `reconcile held`" in run(environ).stdout


@pytest.mark.proof
def test_what_is_moved_is_billed_in_the_present_period(
    environ: dict[str, str], proxy_db: Database, billing: Billing
) -> None:
    acme = held(environ)["acme"]["transaction_id"]
    moved = commands.run(environ, "held", "release", "--move", acme, "--reason", "agreed with acme")
    assert (moved.returncode, moved.stderr) == (0, "")
    assert moved.stdout == "1 event moved to the present period; the next pass sends it.\n"
    assert decisions(proxy_db) == [("acme", "planned", "agreed with acme", True), ("globex", "held", None, False)]
    assert reconcile(environ).delivered.accepted == 1
    assert (billing.current(), billing.current("globex")) == (Decimal("0.5"), Decimal(0))
    assert commands.run(environ, "held", "release", "--move", "--all").returncode == 0
    reconcile(environ)
    assert billing.current("globex") == Decimal("0.25")
    assert held(environ) == {}


def test_without_a_present_period_they_stay_held(environ: dict[str, str], proxy_db: Database, billing: Billing) -> None:
    billing.end("acme")
    moved = commands.run(environ, "held", "release", "--move", "--all")
    assert moved.returncode == 0
    assert moved.stdout.splitlines() == [
        "1 event moved to the present period; the next pass sends it.",
        "1 event stays held (1 subscription without a present period: acme).",
    ]
    assert [state for _, state, *_ in decisions(proxy_db)] == ["held", "planned"]


def test_what_is_released_goes_as_it_is(environ: dict[str, str], proxy_db: Database, billing: Billing) -> None:
    before = proxy_db.fetch("SELECT customer, payload FROM reconciler.event ORDER BY 1")
    assert "2 events go with the next pass as they are" in commands.run(environ, "held", "release", "--all").stdout
    assert reconcile(environ).delivered.accepted == 2
    assert proxy_db.fetch("SELECT customer, payload FROM reconciler.event ORDER BY 1") == before
    assert {(state, reason) for _, state, reason, _ in decisions(proxy_db)} == {("accepted", "sent all the same")}
    assert billing.current() == Decimal(0)


def test_what_is_discarded_is_never_sent_and_its_alarm_is_over(environ: dict[str, str], proxy_db: Database) -> None:
    ids = [event["transaction_id"][:20] for event in held(environ).values()]
    done = commands.run(environ, "held", "discard", *ids, "--reason", "invoiced by hand")
    assert (done.returncode, done.stdout) == (0, "2 events discarded: invoiced by hand\n")
    again = reconcile(environ)
    assert (again.exit_code, again.tally.events_planned) == (0, 0), "what is discarded counts as billed"
    assert {row[1:] for row in decisions(proxy_db)} == {("discarded", "invoiced by hand", True)}


def test_nothing_is_done_unless_all_that_is_asked_for_is_there(environ: dict[str, str], proxy_db: Database) -> None:
    before = decisions(proxy_db)
    acme = held(environ)["acme"]["transaction_id"]
    for arguments, said in {
        ("release", acme, "r1_nothing"): "No held event has an id that begins with 'r1_nothing'",
        ("release", "r1_"): "More than one held event has an id that begins with 'r1_'",
        ("release",): "Say which: `reconcile held release ID…`, or `--all`.",
        ("release", "--all", acme): "Say which",
        ("discard", "--reason", "x"): "Say which",
        ("discard", acme): "needs a reason",
    }.items():
        refused = commands.run(environ, "held", *arguments)
        assert refused.returncode == 2, arguments
        assert said in sentences(refused)[0]
    assert decisions(proxy_db) == before


@pytest.mark.proof
def test_what_waits_behind_a_conflict_is_not_released(proxy_db: Database, billing: Billing) -> None:
    environ = environment(proxy_db, billing.lago)
    row = spend_row(spend=0.25)
    proxy_db.insert(row)
    reconcile(environ, since="2h")
    proxy_db.fetch("""UPDATE reconciler.event SET payload = replace(payload, '"0.25"', '"0.5"')""")
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'planned', open_since = attempted_at")
    proxy_db.insert(spend_row(spend=0.125, startTime=row["startTime"]))
    reconcile_while_undecided(environ, proxy_db)
    [behind] = held(environ).values()
    refused = commands.run(environ, "held", "release", behind["transaction_id"])
    assert refused.returncode == 2
    assert "behind a conflict" in sentences(refused)[0]
    assert "0 events go" in commands.run(environ, "held", "release", "--all").stdout
    assert [event["held_for"] for event in held(environ).values()] == ["conflict"]
