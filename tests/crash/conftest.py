"""Scenes of crashes: a ledger beside the source, and in a database of its own."""

from collections.abc import Iterator

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.crash.scene import Scene


@pytest.fixture
def scene(proxy_db: Database, lago: Sandbox) -> Iterator[Scene]:
    """Source and ledger in one database."""
    one = Scene(proxy_db, proxy_db, lago)
    yield one
    one.forget()


@pytest.fixture
def scene_of_two(proxy_db: Database, empty_db: Database, lago: Sandbox) -> Iterator[Scene]:
    """Source and ledger in two databases."""
    two = Scene(proxy_db, empty_db, lago)
    yield two
    two.forget()
