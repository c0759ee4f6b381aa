"""A crash at any step of `verify --repair`, or of the pass that follows, loses nothing and bills nothing twice.

In one process, as pairs of crashes are. On ClickHouse without deduplication whatever goes twice counts twice. CI takes
the steps that change or send a batch; `CRASHES=all` takes all.
"""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.crash.acts import probe
from tests.crash.chosen import EVERY_ONE, worth_a_crash
from tests.crash.scene import Scene
from tests.crash.steps import LASTING, Crash, Steps, counted, crash
from tests.support import STORES, assert_exact, let_minutes_pass
from tests.verify.conftest import verify

pytestmark = [pytest.mark.proof(seconds=20), pytest.mark.timeout(3600), pytest.mark.no_ledger]


@pytest.fixture(params=["postgres", "clickhouse"])
def lossy(request: pytest.FixtureRequest, proxy_db: Database) -> Iterator[Scene]:
    """Four events that Lago has lost of those that it took, two more to plan, on either store."""
    options, more = STORES[request.param]
    with Sandbox(**options) as lago:
        scene = Scene(proxy_db, proxy_db, lago)
        scene.environ |= {"RECONCILE_CONNECTIONS": "1", **({"RECONCILE_LAG": "0s"} if options else {}), **more}
        if options:
            lago.clickhouse(lag=0)
        probe(scene)
        scene.keep(lost=4)
        yield scene
        scene.forget()


def test_a_crash_at_any_step_bills_everything_once(lossy: Scene) -> None:
    def run(crash_at: str | None = None) -> Steps:
        steps = Steps(crash, at=crash_at, kinds=LASTING)
        let_minutes_pass(lossy.ledger)
        with counted(steps):
            verify(lossy.environ, "1d", repair=True)
        let_minutes_pass(lossy.ledger)
        with counted(steps):
            lossy.reconcile()
        return steps

    lossy.restore()
    steps = [str(step) for step in worth_a_crash(run())]
    delivering = [step for step in steps if "reconciler.batch" in step or "POST" in step]
    assert any("UPDATE reconciler.batch SET repaired_at" in step for step in delivering)
    for step in steps if EVERY_ONE else delivering:
        lossy.restore()
        with suppress(Crash):
            run(crash_at=step)
        try:
            run()
            assert_exact(lossy.source, lossy.lago)
        except BaseException as error:
            error.add_note(f"after a crash at {step}")
            raise
