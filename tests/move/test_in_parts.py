"""A move of more than one transaction should take goes in parts; what is cut off leaves the rest to another run."""

from decimal import Decimal

import pytest

from reconciler.capture.misplaced import Misplaced
from reconciler.model.errors import ReconcileError
from tests.conftest import Database, spend_row
from tests.move.conftest import REASON, Billing, Mapping, at, billing, counts, move, shown
from tests.support import reconcile, used
from tests.verify.conftest import verify

__all__ = ["billing"]


@pytest.fixture
def billed(proxy_db: Database, billing: Billing, environ: dict[str, str], mapping: Mapping) -> dict[str, str]:
    """Usage of a week that went to globex."""
    for name in ("acme", "globex"):
        billing.subscribe(name, made=at(9))
    proxy_db.insert(*(spend_row(startTime=at(day), spend=2**day) for day in range(8)))
    reconcile(environ, since="9d")
    mapping.write(acme="acme")
    return environ


def test_what_takes_too_long_at_once_is_moved_in_smaller_parts(
    proxy_db: Database, billing: Billing, billed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = []
    plan = Misplaced.move

    def slow(misplaced, connection, stretch, *shown, **how):  # type: ignore[no-untyped-def]
        if stretch.until - stretch.since > 2 * stretch.terms.window:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
            connection.exec_driver_sql("SELECT pg_sleep(1)")
        spans.append(stretch)
        return plan(misplaced, connection, stretch, *shown, **how)

    monkeypatch.setattr(Misplaced, "move", slow)
    found, made = move(billed)
    assert (found.cost, made.planned, len(spans)) == (Decimal(255), 16, 8)
    assert spans == sorted(spans, key=lambda stretch: stretch.since)
    reconcile(billed)
    assert counts(billing.lago) == used(proxy_db)


@pytest.mark.proof(seconds=2)
def test_one_that_is_cut_off_says_what_it_has_moved_and_another_moves_the_rest(
    proxy_db: Database, billing: Billing, billed: dict[str, str], mapping: Mapping
) -> None:
    with shown(billed) as (work, _):
        proxy_db.insert(spend_row(startTime=at(), spend=1000))  # in the last part
        mapping.write(acme="globex")
        reconcile(billed)
        with pytest.raises(ReconcileError, match=r"The rest was not moved \(\d+ events planned.*has changed since"):
            work.make(REASON)
    moved = work.made.planned
    assert 0 < moved < 16
    mapping.write(acme="acme")
    _, made = move(billed)
    assert moved + made.planned == 16
    reconcile(billed)
    assert counts(billing.lago) == used(proxy_db)
    assert verify(billed, since="9d").exit_code == 0
