"""What passes Lago's checks and its database refuses."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api, event, invalid

POISON: dict[str, dict[str, Any]] = {
    "nul in a property": {"properties": {"a": {"b": ["x\0y"]}}},
    "nul in a property's name": {"properties": {"a\0": 1}},
    "nul in the id": {"transaction_id": "a\0b"},
    "id over the index": {"transaction_id": "x" * 2700},
    "id and subscription over the index": {
        "transaction_id": "x" * 1400,
        "external_subscription_id": "y" * 1400,
    },
    "microsecond epoch": {"timestamp": 1710421740123456},
    "nanosecond epoch": {"timestamp": "1710421740123456000"},
    "huge exponent": {"timestamp": "1e999999999"},
    "not a number": {"timestamp": "NaN"},
    "infinity": {"timestamp": "-Infinity"},
    "cents": {"precise_total_amount_cents": "1e25"},
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_a_500_alone_and_for_its_batch(api: Api, name: str) -> None:
    poison = event("bad") | POISON[name]
    alone = api.post("events", {"event": poison}, headers={"Accept": "application/json"})
    assert alone.status_code == 500
    assert alone.json() == {"status": 500, "error": "Internal Server Error"}
    batch = api.send(event("good"), poison)
    assert (batch.status_code, batch.content) == (500, b"")
    assert api.ids() == []


def test_what_validation_finds_comes_first(api: Api) -> None:
    response = api.send(event("a\0"), event(code=""))
    assert response.json() == invalid({"1": {"code": ["value_is_mandatory"]}})


def test_an_id_of_two_thousand_bytes_passes(api: Api) -> None:
    assert api.send(event("é" * 1000)).status_code == 200
