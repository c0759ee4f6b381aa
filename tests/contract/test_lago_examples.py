"""Every example of Lago's own test suite is covered here by a test that exists, or has a reason why not."""

import ast
from functools import cache
from pathlib import Path

from tests.contract.cases import CASES
from tests.contract.lago_examples import EXAMPLES, Covering, Function, Promise, Reason

TESTS = Path(__file__).parents[1]
PAIRS = [
    (f"{spec}: {example}", covering) for spec, examples in EXAMPLES.items() for example, covering in examples.items()
]


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def is_there(covering: Covering) -> bool:
    match covering:
        case Promise(name):
            return name in {case.name for case in CASES}
        case Function(file, name):
            return (TESTS / file).exists() and name in functions(file)
        case Reason(text):
            return len(text) > 10


def test_each_example_is_covered_by_what_is_there() -> None:
    assert {example: covering for example, covering in PAIRS if not is_there(covering)} == {}


def test_no_spec_is_left_empty() -> None:
    assert all(EXAMPLES.values())


def test_each_case_has_a_name_of_its_own_and_a_source() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in CASES if len(case.source) < 10} == set()
