"""Two crashes, the second in the pass that cleans up after the first, lose nothing and bill nothing twice.

In one process: a crash is an exception that nothing catches, after which every further step fails too. It falls
after a commit or an answer, where something lasts: between two of those nothing does, since Postgres rolls back what
was not committed. CI draws pairs of those steps of which none is a repetition;
`CRASHES=all` takes all pairs of all steps.
"""

import itertools

import pytest

from tests.crash.acts import ACTS, Prepare
from tests.crash.chosen import chosen, worth_a_crash
from tests.crash.scene import Scene
from tests.crash.steps import LASTING, Crash, Steps, counted, crash

pytestmark = [pytest.mark.proof(seconds=12), pytest.mark.timeout(3600), pytest.mark.no_ledger]


@pytest.mark.parametrize("prepare", ACTS.values(), ids=ACTS)
def test_any_two_crashes_leave_the_bill_exact(scene: Scene, prepare: Prepare) -> None:
    scene.environ["RECONCILE_CONNECTIONS"] = "1"  # so that a pair is the same each time
    arguments = prepare(scene)

    def run(crash_at: str | None = None) -> Steps:
        steps = Steps(crash, at=crash_at, kinds=LASTING)
        scene.end_leases()
        with counted(steps):
            scene.reconcile(*arguments)
        return steps

    scene.restore()
    steps = [str(step) for step in worth_a_crash(run())]
    assert len(steps) > 15
    pairs = list(itertools.product(steps, repeat=2))
    for pair in chosen(pairs, most=8):
        scene.restore()
        for step in pair:
            try:
                run(crash_at=step)
            except Crash:
                continue
        try:
            scene.finish(*arguments)
        except BaseException as error:
            error.add_note(f"after crashes at steps {pair}")
            raise
