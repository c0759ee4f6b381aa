"""A crash at any step of a pass loses nothing and bills nothing twice.

As SQLite's tests do: a pass is counted, then struck before each of its steps, each time from the same state. In CI
these are the steps that leave something else behind, see tests.crash.steps; `CRASHES=all` takes every one.

The acts follow each other, and most of their steps have the same names. At the first step of a name a real process
dies by SIGKILL. Its like in a later act differs only by what lies around it: looks, events and batches. Where one of
those was changed, or Lago has answered, a pass crashes in this process there, which is cheaper. The rest is left out:
alarms, runs or subscriptions find the same around them in each act, and a crash before a commit or a request leaves
behind what the last commit or answer left; how Postgres rolls back the transaction was seen at the first of its name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import pytest

from tests.crash.acts import ACTS, Prepare, first
from tests.crash.chosen import EVERY_ONE, worth_a_crash
from tests.crash.runner import Reconcile
from tests.crash.scene import Scene
from tests.crash.steps import LASTING, Crash, Kind, Step, Steps, counted, crash

KILLED = -9
AROUND = re.compile(r"reconciler\.(look|event|batch)\b|^POST ")

pytestmark = pytest.mark.timeout(7200)


def kill(scene: Scene, arguments: Sequence[str], step: str) -> bool:
    """Run a real process that dies before the step; say whether it came to it."""
    with Reconcile(scene.environ, *arguments, kill_at=step) as running:
        code, said = running.wait(), running.err.strip()
    assert code in {KILLED, 0}, said
    return code == KILLED


def crash_at(scene: Scene, arguments: Sequence[str], step: str) -> bool:
    """The same in this process."""
    with suppress(Crash), counted(Steps(crash, at=step)):
        scene.reconcile(*arguments)
        return False
    return True


def strike(scene: Scene, *, near: str = "", acts: Mapping[str, Prepare] = ACTS) -> Iterator[Step]:
    """Play the acts, struck before each step in which `near` is found; the bill is exact after each. Yield those met.

    Its threads may take turns in another way than when they were counted: then a step may not come.
    """
    names: set[tuple[Kind, str]] = set()
    for title, prepare in acts.items():
        arguments = prepare(scene)
        missed = []
        steps = worth_a_crash(scene.steps(*arguments))
        for step in steps:
            is_new = EVERY_ONE or step[:2] not in names
            if not re.search(near, str(step)) or not (is_new or (step.kind in LASTING and AROUND.search(step.name))):
                continue
            names.add(step[:2])
            scene.restore()
            met = (kill if is_new else crash_at)(scene, arguments, str(step))
            try:
                scene.finish(*arguments)
            except BaseException as error:
                error.add_note(f"{title}, {'killed' if is_new else 'crashed'}: {met}, before: {step}")
                raise
            if met:
                yield step
            else:
                missed.append(str(step))
        print(f"{title}: not met: {missed}")
        assert len(missed) <= 0.1 * len(steps)
        scene.lago.clear_faults()
        scene.lago.clear_requests()
        scene.finish()
        assert not [request for request in scene.lago.requests() if request["method"] == "POST"]


@pytest.mark.proof(seconds=120)
def test_a_crash_at_any_step_leaves_the_bill_exact(scene: Scene) -> None:
    met = list(strike(scene))

    assert {step.kind for step in met} == {"statement", "commit", "committed", "request", "answer"}
    assert len(met) > 100


@pytest.mark.proof(seconds=10)
@pytest.mark.no_ledger
def test_a_kill_while_the_ledger_is_made_leaves_the_bill_exact(scene: Scene) -> None:
    near = "" if EVERY_ONE else "CREATE SCHEMA|pg_namespace|alembic_version"
    met = list(strike(scene, near=near, acts={"first": first}))

    assert {step.kind for step in met} >= {"statement", "commit", "committed"}
    assert len(met) >= 6


@pytest.mark.proof(seconds=25)
def test_a_crash_with_a_ledger_in_another_database_leaves_the_bill_exact(scene_of_two: Scene) -> None:
    """What is other there is what is copied from the one into the other, and the transactions that take it."""
    met = list(strike(scene_of_two, near="" if EVERY_ONE else "(?i)copy"))

    assert {step.kind for step in met} >= {"copy", "commit", "committed"}
    assert len(met) > 12
