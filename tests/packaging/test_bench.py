"""The page of benchmarks says what it was measured with, in a fresh clone, too."""

from bench.report import machine
from reconciler import __version__


def test_the_page_of_benchmarks_says_which_versions_are_installed() -> None:
    assert f"litellm-lago-reconciler {__version__}, psycopg " in machine()["Libraries"]
