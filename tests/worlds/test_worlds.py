"""Twenty thousand worlds: whatever happens between ledger and Lago, each event ends once and right.

The worlds of the suite are always the same. `WORLDS=200000` runs more of them, `WORLDS_SEED=12345` replays one and
prints what happens in it.
"""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.delivery import sender
from tests.worlds.world import World

WORLDS = int(os.environ.get("WORLDS", "20000"))
CHUNKS = 20


class _Listener:
    """Stands in for the log of senders."""

    world: World

    def info(self, _event: str, **said: Any) -> None:
        self.world.hear(**said)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Listener]:
    listener = _Listener()
    monkeypatch.setattr(sender, "log", listener)
    gc.disable()  # worlds leave little for it, and it would look through all of pytest again and again
    yield listener
    gc.enable()


def _run(listener: _Listener, seed: int, *, trace: bool = False) -> None:
    world = listener.world = World(seed, trace=trace)
    try:
        world.run()
    except BaseException as error:
        error.add_note(f"Replay it: WORLDS_SEED={seed} pytest -s tests/worlds/test_worlds.py")
        raise
    finally:
        print(*(world.trace or ()), sep="\n", end="")


@pytest.mark.skipif("WORLDS_SEED" in os.environ, reason="one world is replayed")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_each_event_ends_once_and_right_whatever_happens(chunk: int, listener: _Listener) -> None:
    for seed in range(chunk, WORLDS, CHUNKS):
        _run(listener, seed)


@pytest.mark.skipif("WORLDS_SEED" not in os.environ, reason="no world is replayed")
def test_the_world_of_a_seed(listener: _Listener) -> None:
    _run(listener, int(os.environ["WORLDS_SEED"]), trace=True)
