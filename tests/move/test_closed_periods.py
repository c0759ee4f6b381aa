"""What Lago has invoiced can't be taken back there: that is said before it is decided, with what to do instead."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.conftest import Database, spend_row
from tests.move.conftest import Billing, at, billing, counts, fates, move
from tests.periods.conftest import held, last_period, long_ago
from tests.process import only_object, run
from tests.support import EVENTS, reconcile, states
from tests.verify.conftest import kinds, leg, verify

__all__ = ["billing"]


def _invoiced(source: Database, billing: Billing, environ: dict[str, str]) -> str:
    """Bill usage of last month to globex, in time, and have it invoiced."""
    for name in ("globex", "acme"):
        billing.grace(0, name)
        billing.subscribe(name, made=long_ago())
    source.insert(spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5))
    since = f"{last_period():%Y-%m-%d}"
    reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "send"}, since=since)
    return since


@pytest.mark.proof
def test_what_a_final_invoice_has_is_said_first_and_waits_for_a_credit_note(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    since = _invoiced(proxy_db, billing, environ)
    done = run(environ, "move", "acme", "--to", "acme", "--since", since, "--dry-run")
    assert done.returncode == 3
    first, second = [line for line in done.stderr.splitlines() if "will be" in line]
    assert "globex: what takes back 0.5 USD (1 event) will be held: its billing period is closed" in second
    assert "is finalized. Give a credit note" in second
    assert "acme: 0.5 USD (1 event) will be held: " in first
    assert "`reconcile held release --move`" in first
    assert states(proxy_db) == {"accepted": 1}

    found, _ = move(environ, since=since)
    assert {(each.subscription, each.takes_back, each.fate, each.cost) for each in found.doubts} == {
        ("globex", True, "held", Decimal("0.5")),
        ("acme", False, "held", Decimal("0.5")),
    }
    [alarm] = [each for each in reconcile(environ).alarms if each["kind"] == "held"]
    assert "2 events are held back (0 USD)" in alarm["message"]
    assert "globex (-0.5 USD)" in alarm["message"]
    assert "takes back invoiced usage: credit it in Lago" in alarm["message"]
    assert sorted(cost for _, cost in held(proxy_db)) == [Decimal("-0.5"), Decimal("0.5")]
    done = run(environ, "held", "release", "--all", "--move")
    assert (done.returncode, "1 event moved to the present period" in done.stdout) == (0, True)
    assert "1 event stays held" in done.stdout
    reconcile(environ)
    assert [cost for _, cost in held(proxy_db)] == [Decimal("-0.5")]
    assert billing.current("acme") == Decimal("0.5")


@pytest.mark.proof
def test_what_takes_back_is_never_moved_to_another_period_by_itself(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    environ |= {"RECONCILE_CLOSED_PERIOD": "move"}
    since = _invoiced(proxy_db, billing, environ)
    found, _ = move(environ, since=since)
    assert {(each.subscription, each.fate) for each in found.doubts} == {
        ("globex", "held"), ("acme", "moved to the present period")
    }  # fmt: skip
    reconcile(environ)
    assert proxy_db.fetch(f"SELECT subscription, cost FROM {EVENTS} WHERE state = 'held'") == [
        ("globex", Decimal("-0.5"))
    ]
    assert billing.current("acme") == Decimal("0.5")


@pytest.mark.proof
def test_usage_that_was_billed_in_a_later_period_is_taken_back_there(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    environ |= {"RECONCILE_CLOSED_PERIOD": "move"}
    for name in ("globex", "acme"):
        billing.subscribe(name, made=long_ago())
    proxy_db.insert(spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5))
    since = f"{last_period():%Y-%m-%d}"
    reconcile(environ, since=since)
    assert billing.current("globex") == Decimal("0.5")
    found, _ = move(environ, since=since)
    assert (fates(found), found.doubts) == ({"compensate": 1}, [])
    reconcile(environ)
    assert (billing.current("globex"), billing.current("acme")) == (Decimal(), Decimal("0.5"))
    assert kinds(leg(verify(environ, since=since), "d")) == {}


@pytest.mark.proof
def test_a_draft_of_the_old_one_takes_it_back(proxy_db: Database, billing: Billing, environ: dict[str, str]) -> None:
    for name in ("globex", "acme"):
        billing.grace(60, name)
        billing.subscribe(name, made=long_ago())
    proxy_db.insert(spend_row(startTime=last_period() + timedelta(hours=1), spend=0.5))
    since = f"{last_period():%Y-%m-%d}"
    reconcile(environ, since=since)
    found, _ = move(environ, since=since)
    assert found.doubts == []
    assert reconcile(environ).delivered.accepted == 2
    assert {name for name, _ in counts(billing.lago)} == {"acme"}
    assert billing.invoiced() == [Decimal("0.5")]
    assert kinds(leg(verify(environ, since=since), "d")) == {}


@pytest.mark.proof
def test_an_invoice_of_a_moment_ago_is_no_longer_open(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    for name in ("globex", "acme"):
        billing.subscribe(name, made=long_ago())
    proxy_db.insert(spend_row(startTime=at(), spend=0.5))
    reconcile(environ, since="2h")
    billing.end("globex")
    done = run(environ, "move", "acme", "--to", "acme", "--since", "2h", "--yes", "--reason", "mapped", "--json")
    said = only_object(done)
    [doubt] = said["doubts"]
    assert (done.returncode, said["planned"], doubt["subscription"], doubt["cost"]) == (3, 2, "globex", "0.5")
    reconcile(environ)
    assert states(proxy_db) == {"accepted": 2, "held": 1}
    assert billing.current("acme") == Decimal("0.5")
