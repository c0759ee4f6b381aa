"""A SIGKILL of the real process at any of its steps loses nothing and bills nothing twice.

As SQLite's tests do: killed at step 1, 2, 3, … until a run completes, each time from the same state. The longest of
the passes, and a ledger in a database of its own, are in CI killed at a sample of their steps.
"""

from collections.abc import Iterable

import pytest

from tests.crash.acts import ACTS, Prepare, backfill
from tests.crash.chosen import steps
from tests.crash.runner import Reconcile
from tests.crash.scene import Scene

KILLED = -9

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]


def kill_at(numbers: Iterable[int], scene: Scene, prepare: Prepare) -> list[str]:
    """Kill at each step until a run completes; return before which steps it was killed."""
    arguments = prepare(scene)
    survived = []
    for step in numbers:
        scene.restore()
        with Reconcile(scene.environ, *arguments, kill_at=step) as running:
            code, said = running.wait(), running.err.strip()
        assert code in {KILLED, 0}, said
        try:
            scene.finish(*arguments)
        except BaseException as error:
            error.add_note(f"step {step}, {said}")
            raise
        if code == 0:  # it had no such step: that is all of them
            break
        survived.append(said)
    return survived


@pytest.mark.parametrize("prepare", ACTS.values(), ids=ACTS)
def test_a_kill_at_any_step_leaves_the_bill_exact(scene: Scene, prepare: Prepare) -> None:
    numbers = steps(of=250, most=100) if prepare is backfill else steps()

    survived = kill_at(numbers, scene, prepare)

    print(f"{len(survived)} kills")
    kinds = ("statement INSERT", "statement UPDATE", "commit", "committed", "request", "answer")
    assert {kind for kind in kinds if any(f"killed before: {kind}" in said for said in survived)} == set(kinds)
    scene.lago.clear_requests()
    scene.finish()
    assert not [request for request in scene.lago.requests() if request["method"] == "POST"]


@pytest.mark.parametrize("prepare", ACTS.values(), ids=ACTS)
def test_a_kill_with_a_ledger_in_another_database_leaves_the_bill_exact(scene_of_two: Scene, prepare: Prepare) -> None:
    survived = kill_at(steps(of=200, most=30), scene_of_two, prepare)

    print(f"{len(survived)} kills")
    assert len(survived) >= 15
