"""A SIGKILL of the real process at any of its steps loses nothing and bills nothing twice.

As SQLite's tests do: a pass is counted, then killed before each of its steps, each time from the same state. In CI
these are the steps that leave something else behind, see tests.crash.steps; `CRASHES=all` takes every one.
"""

from collections.abc import Sequence

import pytest

from tests.crash.acts import ACTS, Prepare
from tests.crash.chosen import EVERY_ONE, worth_a_crash
from tests.crash.runner import Reconcile
from tests.crash.scene import Scene
from tests.crash.steps import Step

KILLED = -9

pytestmark = [pytest.mark.proof(seconds=90), pytest.mark.timeout(3600), pytest.mark.no_ledger]


def kill_at(steps: Sequence[Step], scene: Scene, arguments: tuple[str, ...]) -> list[Step]:
    """Kill before each of the steps, each time from the state that was kept; return those that were met.

    Its threads may take turns in another way than when they were counted: then a step may not come.
    """
    met = []
    for step in steps:
        scene.restore()
        with Reconcile(scene.environ, *arguments, kill_at=str(step)) as running:
            code, said = running.wait(), running.err.strip()
        assert code in {KILLED, 0}, said
        try:
            scene.finish(*arguments)
        except BaseException as error:
            error.add_note(f"killed: {code == KILLED}, before: {step}")
            raise
        if code == KILLED:
            met.append(step)
    print(f"{len(met)} kills; not met: {[str(step) for step in steps if step not in met]}")
    return met


@pytest.mark.parametrize("prepare", ACTS.values(), ids=ACTS)
def test_a_kill_at_any_step_leaves_the_bill_exact(scene: Scene, prepare: Prepare) -> None:
    arguments = prepare(scene)
    steps = worth_a_crash(scene.steps(*arguments))

    met = kill_at(steps, scene, arguments)

    assert {step.kind for step in met} >= {"statement", "commit", "committed", "request", "answer"}
    assert len(met) >= 0.9 * len(steps)
    scene.lago.clear_requests()
    scene.finish()
    assert not [request for request in scene.lago.requests() if request["method"] == "POST"]


@pytest.mark.parametrize("prepare", ACTS.values(), ids=ACTS)
def test_a_kill_with_a_ledger_in_another_database_leaves_the_bill_exact(scene_of_two: Scene, prepare: Prepare) -> None:
    """What is other there is what is copied from the one into the other, and the transactions that take it."""
    arguments = prepare(scene_of_two)
    steps = [step for step in worth_a_crash(scene_of_two.steps(*arguments)) if EVERY_ONE or "copy" in str(step).lower()]

    met = kill_at(steps, scene_of_two, arguments)

    assert {step.kind for step in met} >= {"copy", "commit", "committed"}
    assert len(met) >= 0.9 * len(steps)
