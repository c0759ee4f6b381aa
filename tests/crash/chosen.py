"""How many crashes a run affords: in CI those that leave something else behind; `CRASHES=all` takes every one."""

import os
import random
from collections.abc import Sequence
from typing import TypeVar

from tests.crash.steps import Step, Steps

T = TypeVar("T")

EVERY_ONE = os.environ.get("CRASHES") == "all"
SEED = int(os.environ.get("CRASH_SEED", "1"))


def chosen(crashes: Sequence[T], most: int) -> Sequence[T]:
    """All crashes, or as many as `most`, drawn from a seed that is printed."""
    if EVERY_ONE or len(crashes) <= most:
        return crashes
    print(f"{most} of {len(crashes)} crashes; CRASH_SEED={SEED} draws them, CRASHES=all takes all")
    return random.Random(SEED).sample(crashes, most)


def worth_a_crash(steps: Steps) -> Sequence[Step]:
    """Those that leave something else behind, or all."""
    return steps.taken if EVERY_ONE else steps.distinct
