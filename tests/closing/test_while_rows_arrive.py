"""Rows arrive and passes run all the while: each row is in one invoice or the other, by its time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from tests.closing.conftest import WINDOW, Billing, Clock, close
from tests.conftest import Database, spend_row
from tests.periods.conftest import held, long_ago
from tests.support import assert_exact, environment, reconcile
from tests.verify.conftest import verify

pytestmark = pytest.mark.proof(seconds=5)

BEHIND, SETTLE = timedelta(seconds=0.2), timedelta(seconds=3)
"""So long after it began a row is written, and so long it may take to be there."""


@contextmanager
def all_the_while(*works: Callable[[], None], pause: float) -> Iterator[None]:
    """Do each again and again, side by side, until the body has ended."""
    ended = threading.Event()

    def again(work: Callable[[], None]) -> None:
        while not ended.wait(pause):
            work()

    with ThreadPoolExecutor(len(works)) as pool:
        working = [pool.submit(again, work) for work in works]
        try:
            yield
        finally:
            ended.set()
        for each in working:
            each.result()


@pytest.mark.parametrize("before_the_end", [WINDOW / 2, timedelta(seconds=2)])
def test_an_upgrade(proxy_db: Database, billing: Billing, clock: Clock, before_the_end: timedelta) -> None:
    billing.subscribe(made=long_ago())
    billing.subscribe("other", made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE=f"{SETTLE.seconds}s")
    written: list[tuple[datetime, datetime, Decimal]] = []

    def write() -> None:
        began, cost = clock.now() - BEHIND, Decimal(1 + len(written)) / 100
        proxy_db.insert(*(spend_row(startTime=began, spend=float(cost), end_user=name) for name in ("acme", "other")))
        written.append((began, clock.now(), cost))

    def bill() -> None:
        reconcile(environ)

    clock.set(clock.window + WINDOW - before_the_end)
    reconcile(environ, since="1h")
    with all_the_while(write, bill, pause=0.1):
        time.sleep(0.5)
        done = close(environ)
        assert done.exit_code == 0
        billing.subscribe(plan="better")
        time.sleep(0.5)
    clock.reset()
    reconcile(environ)

    # On a machine that stood still for a while a row may have come too late, as it may to a proxy's table.
    too_late = done.instant + SETTLE
    old = sum((cost for began, there, cost in written if began < done.instant and there < too_late), Decimal())
    new = sum((cost for *_, cost in written), Decimal()) - old
    [invoiced], current = billing.invoiced(), billing.current()
    if before_the_end == WINDOW / 2:
        assert (invoiced, current) == (old, new)
    else:  # a pass may have sent the rest of the window before the plan changed
        assert invoiced >= old
        assert invoiced + current == old + new
    assert held(proxy_db) == []
    assert_exact(proxy_db, billing.lago)
    found = verify(environ)
    assert {kind.name: sums for leg in found.legs for kind, sums in leg.sums.items() if kind.drift} == {}
