"""How many crashes a run affords: a sample where there are too many for CI; `CRASHES=all` takes every one."""

import itertools
import os
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

EVERY_ONE = os.environ.get("CRASHES") == "all"
SEED = int(os.environ.get("CRASH_SEED", "1"))


def chosen(crashes: Sequence[T], most: int) -> Sequence[T]:
    """All crashes, or as many as `most`, drawn from a seed that is printed."""
    if EVERY_ONE or len(crashes) <= most:
        return crashes
    print(f"{most} of {len(crashes)} crashes; CRASH_SEED={SEED} draws them, CRASHES=all takes all")
    return random.Random(SEED).sample(crashes, most)


def steps(*, of: int | None = None, most: int = 0) -> Iterable[int]:
    """The numbers of the steps to crash at: 1, 2, 3, … without end, or a sample of the first `of`."""
    return itertools.count(1) if of is None or EVERY_ONE else sorted(chosen(range(1, of + 1), most))
