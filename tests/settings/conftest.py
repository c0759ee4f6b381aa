"""A folder of one's own and an environment that is enough."""

from pathlib import Path

import pytest

ENOUGH = {
    "DATABASE_URL": "postgresql://litellm:db-secret@db:5432/litellm?schema=public&connection_limit=10",
    "LAGO_API_BASE": "https://lago.example/api/v1/",
    "LAGO_API_KEY": "key-secret",
    "LAGO_API_EVENT_CODE": "openai_tokens",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def enough() -> dict[str, str]:
    """The environment that has all that is required, and no more."""
    return dict(ENOUGH)
