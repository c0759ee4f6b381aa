"""A kill at any point from which something lasts, then the cut-over again: everything is billed once.

In one process, as pairs of crashes are.
"""

from contextlib import suppress
from datetime import timedelta

import pytest

from reconciler.model.windows import utc_text
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.crash.chosen import worth_a_crash
from tests.crash.steps import LASTING, Crash, Steps, counted, crash
from tests.cutover.conftest import EDGE, all_of_it, cut_over, event_of, row_at, send
from tests.support import environment, make_metric, reconcile, start_over

MINUTE = timedelta(minutes=1)


@pytest.mark.proof(seconds=3)
def test_a_kill_takes_over_nothing_twice(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_CONNECTIONS="1")

    def run(crash_at: str | None = None) -> list[str]:
        start_over(lago, proxy_db)
        make_metric(lago)
        billed, lost = row_at(MINUTE), row_at(2 * MINUTE, spend=0.5)
        proxy_db.insert(billed, lost)
        send(lago, event_of(billed))
        reconcile(environ)
        steps = Steps(crash, at=crash_at, kinds=LASTING)
        with counted(steps), suppress(Crash):
            cut_over(environ)
        cut_over(environ)
        reconcile(environ, since=utc_text(EDGE - timedelta(hours=2)))
        [(used,)] = proxy_db.fetch("""SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs" """)
        assert all_of_it(lago) == used
        assert proxy_db.fetch("SELECT sum(requests) FROM reconciler.takeover") == [(1,)]
        return [str(step) for step in worth_a_crash(steps)]

    steps = run()
    assert any("reconciler.takeover" in step for step in steps)
    for step in steps:
        try:
            run(step)
        except BaseException as error:
            error.add_note(f"after a crash at {step}")
            raise
