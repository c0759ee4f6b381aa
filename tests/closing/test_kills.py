"""A kill at any point from which something lasts, then the same again: each row is in one invoice, and once.

In one process, as pairs of crashes are.
"""

from contextlib import closing, suppress
from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.sandbox import Sandbox
from tests.closing.conftest import Billing, Clock, closed
from tests.conftest import Database, spend_row
from tests.crash.chosen import EVERY_ONE, worth_a_crash
from tests.crash.steps import LASTING, Crash, Steps, counted, crash
from tests.periods.conftest import held, long_ago
from tests.support import assert_exact, end_leases, environment, reconcile, start_over

MINUTE = timedelta(minutes=1)


@pytest.mark.proof(seconds=5)
def test_a_kill_loses_nothing(proxy_db: Database, lago: Sandbox, clock: Clock) -> None:
    environ = environment(proxy_db, lago, RECONCILE_SETTLE="0s", RECONCILE_CONNECTIONS="1")

    def run(crash_at: str | None = None) -> list[str]:
        start_over(lago, proxy_db)
        billing = Billing(lago)
        with closing(billing.api):
            billing.subscribe(made=long_ago())
            clock.set(clock.window + 7 * MINUTE)
            reconcile(environ)
            proxy_db.insert(spend_row(spend=4, startTime=clock.window), spend_row(spend=2, startTime=clock.window))
            steps = Steps(crash, at=crash_at, kinds=LASTING)
            with counted(steps), suppress(Crash):
                closed(environ)
            end_leases(proxy_db)
            assert closed(environ).exit_code == 0
            billing.subscribe(plan="better")
            proxy_db.insert(spend_row(spend=8, startTime=clock.window + 8 * MINUTE))
            assert billing.invoiced() == [Decimal(6)]
            clock.reset()
            reconcile(environ)
            assert (billing.current(), held(proxy_db)) == (Decimal(8), [])
            assert_exact(proxy_db, lago)
        return [str(step) for step in worth_a_crash(steps)]

    steps = run()
    changing = [step for step in steps if "reconciler.event" in step or "reconciler.batch" in step or "POST" in step]
    assert any("reconciler.closing" in step for step in changing)
    assert any("answer POST" in step for step in changing)
    for step in steps if EVERY_ONE else changing:
        try:
            run(step)
        except BaseException as error:
            error.add_note(f"after a crash at {step}")
            raise
