"""The unique key holds even if the meter's lock fails: two passes that plan the same chunk can't bill it twice."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from reconciler.capture.planner import Planner
from reconciler.ledger import meters
from reconciler.model.errors import LedgerError
from reconciler.report.figures import Tally
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, customers, environment, reconcile


def test_two_passes_without_the_lock_clash_without_harm(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 20)
    reconcile(environ, since="2h")
    proxy_db.insert(*(spend_row(end_user=f"customer {number}", model="late") for number in range(20)))

    both_here = threading.Barrier(2, timeout=60)
    plan = Planner.plan

    def plan_at_once_and_linger(planner: Planner, *arguments: Any) -> Tally:
        """Compare at the same time; the one that is done first commits when the other waits for its keys."""
        with suppress(threading.BrokenBarrierError):
            both_here.wait()
        found = plan(planner, *arguments)
        time.sleep(0.5)
        return found

    monkeypatch.setattr(Planner, "plan", plan_at_once_and_linger)
    monkeypatch.setattr(meters, "take_turn", lambda *_, **__: True)
    with ThreadPoolExecutor(2) as threads:
        passes = [threads.submit(reconcile, environ) for _ in range(2)]
        errors = [error for each in passes if (error := each.exception()) is not None]

    [error] = errors
    assert isinstance(error, LedgerError)
    assert "event_pkey" in str(error)
    assert len(str(error).splitlines()) == 1
    monkeypatch.undo()

    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)
    assert len(lago.events()) == 40
    sent = [id_ for request in lago.requests() for id_ in request["ids"]]
    assert len(sent) == len(set(sent))
