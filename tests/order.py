"""In which order tests run, and which of several workers runs them."""

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = frozenset(
    {
        "tests/clients/test_litellm_callback.py",
        "tests/events/test_commands.py",
        "tests/explain/test_statement.py",
        "tests/failures/test_tls.py",
        "tests/status/test_figures.py",
    }
)
"""Files with a server or a ledger that their tests share, since it takes long to make: one worker runs all of each."""


class OneByOne(LoadScopeScheduling):  # type: ignore[misc]
    """Each test goes to the worker that is free first, instead of a long row of them to each in advance."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


def proofs_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """The longest proofs first, a test beside each: they wait much, and none is to be left alone at the end."""
    proofs = sorted((item for item in items if _seconds(item)), key=_seconds, reverse=True)
    tests = [item for item in items if not _seconds(item)]
    beside = tests[: len(proofs)]
    both = [item for pair in zip(proofs, beside, strict=False) for item in pair]
    return both + proofs[len(beside) :] + tests[len(beside) :]


def _seconds(item: pytest.Item) -> float:
    """About how long a proof takes; nothing for a test."""
    mark = item.get_closest_marker("proof")
    return float(mark.kwargs.get("seconds", 5)) if mark else 0.0
