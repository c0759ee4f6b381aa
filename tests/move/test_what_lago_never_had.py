"""What Lago never had goes to the right subscription as it is; what can't be moved stays, and is said."""

from decimal import Decimal

import pytest

from reconciler.model.errors import LagoError, ReconcileError
from reconciler.report.customers import customers
from reconciler.settings.load import load_settings
from tests.conftest import Database, spend_row
from tests.move.conftest import (
    OTHER,
    REASON,
    Billing,
    Mapping,
    at,
    billing,
    counts,
    everything,
    fates,
    move,
    shown,
)
from tests.support import BATCH, EVENTS, reconcile, states, used
from tests.verify.conftest import verify

__all__ = ["billing"]


@pytest.mark.proof
def test_it_is_redirected_and_keeps_its_id(
    proxy_db: Database, billing: Billing, environ: dict[str, str], mapping: Mapping
) -> None:
    huge = "g" * 2700
    billing.subscribe("globex")  # after the usage: what is of before is held
    billing.subscribe("acme", made=at(9))
    mapping.write(acme="globex")
    proxy_db.insert(spend_row(startTime=at(2), spend=0.5), spend_row(startTime=at(2), spend=1, model=OTHER))
    reconcile(environ, since="9d")
    mapping.write(acme=huge)  # which Lago can't take
    proxy_db.insert(spend_row(startTime=at(1), spend=0.25))
    reconcile(environ, since="9d")
    proxy_db.insert(spend_row(startTime=at(1), spend=0.125))
    billing.lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    mapping.write(acme='quo"ted \\ & \\1 Zürich')
    with pytest.raises(LagoError):
        reconcile(environ, since="9d")
    billing.lago.clear_faults()
    assert states(proxy_db) == {"held": 2, "quarantined": 1, "planned": 1}
    ids = proxy_db.fetch("SELECT substr(payload, 20, 67) FROM reconciler.event ORDER BY 1")

    mapping.write(acme="acme")
    found, made = move(environ)
    assert (fates(found), found.doubts, found.warnings) == ({"redirect": 4}, [], [])
    assert (made.planned, made.redirected) == (0, 4)
    assert proxy_db.fetch("SELECT substr(payload, 20, 67) FROM reconciler.event ORDER BY 1") == ids
    assert proxy_db.fetch(f"SELECT DISTINCT subscription, state, reason FROM {EVENTS}") == [("acme", "planned", REASON)]
    done = reconcile(environ)
    assert (done.delivered.accepted, done.alarms) == (4, [])
    assert counts(billing.lago) == used(proxy_db)
    assert verify(environ, since="9d").exit_code == 0


@pytest.mark.proof
def test_a_bucket_of_which_lago_has_a_part_goes_both_ways(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    billing.subscribe("acme", made=at(9))
    proxy_db.insert(spend_row(startTime=at(), spend=0.5))
    reconcile(environ, since="2h")
    proxy_db.insert(spend_row(startTime=at(), spend=0.25))
    billing.lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    with pytest.raises(LagoError):
        reconcile(environ, since="2h")
    billing.lago.clear_faults()
    found, made = move(environ)
    assert (fates(found), made.planned, made.redirected) == ({"compensate": 1, "redirect": 1}, 2, 1)
    reconcile(environ)
    assert counts(billing.lago) == used(proxy_db)
    assert move(environ)[0].lines == []


def test_what_is_in_the_way_stays_and_is_said(proxy_db: Database, billing: Billing, environ: dict[str, str]) -> None:
    billing.subscribe("acme", made=at(9))
    days = {"conflict": 1, "credited": 2, "in doubt": 3, "given up": 4, "rests": 5}
    proxy_db.insert(*(spend_row(startTime=at(day), spend=day) for day in days.values()))
    reconcile(environ, since="9d")
    for day, change in {
        1: "state = 'quarantined', conflict = true",
        3: "state = 'planned', open_since = now()",
        4: "state = 'discarded'",
        5: "state = 'planned', repaired_at = now()",
    }.items():
        proxy_db.fetch(f"UPDATE reconciler.batch SET {change} WHERE cost = {day}")
    proxy_db.fetch(
        """INSERT INTO reconciler.credit (meter, window_start, bucket, number, customer, model, input_tokens,
                                          output_tokens, cost, requests, accepted_by, reason)
           SELECT meter, window_start, bucket, 0, customer, model, 0, 0, 1, 0, 'somebody', 'why not'
           FROM reconciler.event WHERE cost = 2"""
    )
    before = everything(proxy_db)
    found, made = move(environ)
    assert [(line.why, int(line.cost)) for line in found.lines] == [
        ("in doubt", 5), ("in doubt", 3), ("credited", 2), ("conflict", 1)
    ]  # fmt: skip
    assert (found.moving, made.planned, everything(proxy_db)) == ([], 0, before)

    # Once they are decided about they move; what was given up does not.
    proxy_db.fetch(
        "UPDATE reconciler.batch SET state = 'accepted', conflict = false, open_since = NULL WHERE cost <> 4"
    )
    proxy_db.fetch("UPDATE reconciler.credit SET undone_at = now()")
    assert fates(move(environ | {"RECONCILE_PROPERTIES": "callback"})[0]) == {"other settings": 4}
    found, made = move(environ)
    assert (fates(found), made.planned) == ({"compensate": 4}, 8)
    assert sum(line.cost for line in found.lines) == Decimal(1 + 2 + 3 + 5)


def test_a_take_back_that_was_given_up_as_credited_by_hand_is_not_moved_again(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    billing.subscribe("acme", made=at(9))
    proxy_db.insert(spend_row(startTime=at(), spend=0.5))
    reconcile(environ, since="2h")
    move(environ)
    for state in ("quarantined", "discarded"):
        proxy_db.fetch("UPDATE reconciler.batch SET state = %s WHERE state <> 'accepted'", state)
        assert move(environ)[0].lines == []
    proxy_db.insert(spend_row(startTime=at(), spend=0.25))
    reconcile(environ, since="2h")
    found, _ = move(environ)
    assert [line.cost for line in found.lines] == [Decimal("0.25")]


def test_what_has_changed_since_it_was_shown_is_not_moved(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    billing.subscribe("acme", made=at(9))
    proxy_db.insert(spend_row(startTime=at(), spend=0.5))
    reconcile(environ, since="2h")
    with shown(environ) as (work, found), shown(environ) as (another, same):
        assert found.lines == same.lines
        work.make(REASON)
        with pytest.raises(ReconcileError, match="has changed since it was shown"):
            another.make(REASON)
    assert states(proxy_db) == {"accepted": 1, "planned": 2}


def _unsubscribed(environ: dict[str, str]) -> list[str]:
    """Whom `reconcile customers --unsubscribed` lists."""
    found = customers(load_settings(environ=environ), None, at(9), unsubscribed=True, limit=None)
    return [each.customer for each in found]


@pytest.mark.proof
def test_usage_that_waited_for_a_subscription_of_the_wrong_name_waits_no_more(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    billing.subscribe("acme", made=at(9))
    proxy_db.insert(spend_row(startTime=at(), spend=0.5), spend_row(startTime=at(), spend=1, end_user="globex"))
    reconcile(environ, since="2h")
    waiting = "SELECT external_id, events, cost FROM reconciler.unsubscribed"
    assert proxy_db.fetch(waiting) == [("globex", 2, Decimal("1.5"))]
    move(environ)
    reconcile(environ)
    assert proxy_db.fetch(waiting) == [("globex", 1, Decimal(1))]
    assert _unsubscribed(environ) == ["globex"]
    move(environ, "globex", "acme")
    reconcile(environ)
    assert proxy_db.fetch(waiting) == []
    assert _unsubscribed(environ) == []
    assert {name for name, _ in counts(billing.lago)} == {"acme"}
