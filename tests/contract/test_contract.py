"""Every answer that Lago promises: of both stand-ins, or of the Lago of LAGO_CONTRACT_URL."""

from collections.abc import Callable

import pytest

from tests.contract.case import Case, differences
from tests.contract.target import Target


def test_it_answers_as_lago_does(target: Target, case: Case, record_property: Callable[[str, object], None]) -> None:
    if case.only not in {None, target.store}:
        pytest.skip(f"known of the {case.only} store only")
    if not target.is_at_least(case.since):
        pytest.skip(f"known of Lago {case.since} and later")
    if different := differences(case, target):
        told = "\n".join([f"{case.name} ({case.source}): {case.ask.method} {case.ask.path}", *different])
        record_property("differs", told.replace("\n", "\n  "))
        pytest.fail(told, pytrace=False)
