"""Postgres goes away in the middle of a pass: one clear sentence, exit code 1, and the next pass is exact.

A real process stops before a certain step, the server is restarted or its connections are cut, and it goes on.
"""

from collections.abc import Callable

import pytest

from tests.crash.acts import first
from tests.crash.runner import Reconcile
from tests.crash.scene import Scene

pytestmark = [pytest.mark.proof(seconds=2), pytest.mark.no_ledger]

IN_A_TRANSACTION = {
    "while the ledger is made": "statement INSERT INTO reconciler.alembic_version",
    "while the source is looked at": "statement WITH RECURSIVE part",
    "while the meter is made": "statement INSERT INTO reconciler.terms",
    "while events are planned": "INSERT INTO reconciler.event",
    "before a chunk is committed": "statement UPDATE reconciler.meter SET watermark",
    "while a batch is taken": "UPDATE reconciler.batch SET attempts",
    "while an answer is recorded": "UPDATE reconciler.batch SET state = 'accepted'",
    "while the pass concludes": "statement SELECT reconciler.alarm.id",
}
ON_THE_WIRE = {
    "before a batch is sent": "request POST",
    "after Lago took a batch": "answer POST",
}


def interrupt(scene: Scene, moment: str, interruption: Callable[[], None], *, senders: int = 4) -> tuple[int, str]:
    """Run a first pass, interrupted at the moment; return its exit code and what it said on standard error."""
    arguments = first(scene)
    with Reconcile(scene.environ, *arguments, stop_near=moment, senders=senders) as running:
        assert running.stopped(), f"there was no such step: {running.err}"
        interruption()
        running.go_on()
        code, said = running.wait(), running.err
    scene.finish(*arguments)
    return code, said


def restart(scene: Scene) -> None:
    scene.source.server.restart(mode="immediate")


def drop_connections(scene: Scene) -> None:
    dropped = scene.ledger.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'reconciler/%'"
    )
    assert dropped


@pytest.mark.parametrize("moment", IN_A_TRANSACTION.values(), ids=IN_A_TRANSACTION)
@pytest.mark.parametrize("interruption", [restart, drop_connections])
def test_a_pass_whose_transaction_is_cut_says_so_in_one_sentence_and_loses_nothing(
    moment: str, interruption: Callable[[Scene], None], scene: Scene
) -> None:
    code, said = interrupt(scene, moment, lambda: interruption(scene))

    assert code == 1
    [sentence] = said.splitlines()
    assert sentence.startswith("reconcile: DATABASE_URL (")
    assert sentence.endswith("nothing is lost, run again.")
    assert "Traceback" not in sentence


@pytest.mark.parametrize("moment", ON_THE_WIRE.values(), ids=ON_THE_WIRE)
def test_a_restart_while_a_batch_is_on_the_wire_loses_nothing(moment: str, scene: Scene) -> None:
    """The sender is in no transaction then: it connects again to record the answer."""
    code, said = interrupt(scene, moment, lambda: restart(scene), senders=1)

    assert code in {0, 1}
    assert [line.endswith("nothing is lost, run again.") for line in said.splitlines()] == [True] * code


@pytest.mark.parametrize("moment", ["copy COPY", "copy block", "INSERT INTO reconciler.batch"])
def test_a_cut_connection_to_a_ledger_elsewhere_names_the_setting_and_loses_nothing(
    moment: str, scene_of_two: Scene
) -> None:
    code, said = interrupt(scene_of_two, moment, lambda: drop_connections(scene_of_two))

    assert code == 1
    [sentence] = said.splitlines()
    assert sentence.startswith(("reconcile: DATABASE_URL (", "reconcile: RECONCILE_LEDGER_URL ("))
    assert sentence.endswith("nothing is lost, run again.")


@pytest.mark.parametrize("moment", ["statement INSERT INTO reconciler.terms", "INSERT INTO reconciler.event"])
def test_a_server_that_stays_away_is_said_in_one_sentence(moment: str, scene: Scene) -> None:
    arguments = first(scene)
    with Reconcile(scene.environ, *arguments, stop_near=moment) as running:
        assert running.stopped()
        scene.source.server.stop(mode="immediate")
        running.go_on()
        code, said = running.wait(), running.err
    scene.source.server.start()

    assert code == 1
    [sentence] = said.splitlines()
    assert sentence.startswith("reconcile: DATABASE_URL (")
    scene.finish(*arguments)
