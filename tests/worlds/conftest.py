"""Worlds have their own time: nothing needs to be shortened."""

import pytest


@pytest.fixture(autouse=True)
def _short_pauses() -> None:
    """Change nothing."""
