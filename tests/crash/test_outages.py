"""Lago goes away and comes back: nothing is lost, nothing is quarantined, and passes stay quick."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    EVENTS,
    QUICK,
    assert_exact,
    batches,
    customers,
    environment,
    make_metric,
    reconcile,
    states,
)

FAILING = {"kind": "status", "count": None, "path": BATCH}


@pytest.mark.proof
def test_an_outage_of_pure_errors_quarantines_nothing(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 30)
    lago.faults({**FAILING, "status": 503})

    for _ in range(2):
        lago.clear_requests()
        with pytest.raises(LagoError, match=r"503.*stay planned"):
            reconcile(environ, since="2h")
        assert len(batches(lago)) < 30, "it does not try each event by itself"
        assert states(proxy_db) == {"planned": 30}

    lago.clear_faults()
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)


def test_an_outage_that_begins_in_mid_delivery_quarantines_nothing(proxy_db: Database, lago: Sandbox) -> None:
    """That Lago took other events before it began to fail is no proof against those on which it fails now."""
    environ = environment(proxy_db, lago, RECONCILE_CONNECTIONS="4")
    customers(proxy_db, 16)
    lago.faults({"kind": "slow", "seconds": 0, "count": 2, "path": BATCH}, {**FAILING, "status": 500})

    with pytest.raises(LagoError, match="stay planned"):
        reconcile(environ, since="2h", limits=replace(QUICK, batch=4))

    assert states(proxy_db) == {"accepted": 8, "planned": 8}
    lago.clear_faults()
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_lago_that_goes_away_in_mid_delivery_loses_nothing(proxy_db: Database, tmp_path: Path) -> None:
    with Sandbox(tmp_path / "lago") as lago:
        environ = environment(proxy_db, lago, RECONCILE_CONNECTIONS="4")
        customers(proxy_db, 100)
        lago.faults(
            {"kind": "slow", "seconds": 0, "count": 3, "path": BATCH}, {"kind": "drop", "count": None, "path": BATCH}
        )
        with pytest.raises(LagoError, match="stay planned"):
            reconcile(environ, since="2h", limits=replace(QUICK, batch=10))
        assert states(proxy_db) == {"accepted": 30, "planned": 70}

        lago.stop()
        for _ in range(3):
            with pytest.raises(LagoError, match="can't be reached"):
                reconcile(environ)
        assert states(proxy_db) == {"accepted": 30, "planned": 70}

        lago.start()
        assert reconcile(environ).exit_code == 0
        assert_exact(proxy_db, lago)


def test_an_outage_keeps_no_usage_from_being_planned(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(end_user="before"))
    lago.stop()
    with pytest.raises(LagoError, match="no connection"):
        reconcile(environ, since="2h")
    proxy_db.insert(spend_row(end_user="during"))
    with pytest.raises(LagoError, match="no connection"):
        reconcile(environ)
    assert proxy_db.fetch(f"SELECT customer, state FROM {EVENTS} ORDER BY 1") == [
        ("before", "planned"),
        ("during", "planned"),
    ]

    lago.start()
    make_metric(lago)
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)
