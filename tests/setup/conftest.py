"""A Lago in which it is about noon, wherever the test runs: usage of the last hours is of the present period."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.support import in_the_middle_of_a_month

CODE = "llm_usage"


class Api:
    """Lago, as its operator asks it."""

    def __init__(self, lago: Sandbox) -> None:
        self.client = httpx.Client(
            base_url=f"{lago.url}/api/v1/", headers={"Authorization": f"Bearer {lago.api_key}"}, trust_env=False
        )

    def post(self, path: str, kind: str, **thing: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.client.post(path, json={kind: thing}).raise_for_status().json()[kind]
        return made

    def get(self, path: str, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(path).raise_for_status().json()[kind]
        return found

    def list(self, kinds: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get(kinds, params=query).raise_for_status().json()[kinds]
        return found


@pytest.fixture
def api(lago: Sandbox) -> Iterator[Api]:
    in_the_middle_of_a_month(lago)
    asked = Api(lago)
    with asked.client:
        yield asked
