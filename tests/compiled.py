"""SQLAlchemy's statements, compiled once: each engine compiles them anew, a sixth of what a pass costs."""

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from reconciler.database import pool

_make = create_engine
_first: list[Engine] = []
"""The first engine."""


def _shared(*arguments: Any, **options: Any) -> Engine:
    engine = _make(*arguments, **options)
    if _first:
        engine.dialect = _first[0].dialect  # which is part of the keys
        engine._compiled_cache = _first[0]._compiled_cache
    else:
        _first.append(engine)
    return engine


def share(patch: pytest.MonkeyPatch) -> None:
    """Let engines of this process share what they compile, from here on."""
    patch.setattr(pool, "create_engine", _shared)
