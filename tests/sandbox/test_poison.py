"""What passes Lago's checks and its database refuses."""

import random
import string
from typing import Any

import pytest

from tests.sandbox.conftest import Api, event, invalid

_CHANCE = random.Random(1)


def noise(length: int) -> str:
    """Return text that nothing compresses."""
    return "".join(_CHANCE.choices(string.ascii_letters + string.digits, k=length))


POISON: dict[str, dict[str, Any]] = {
    "nul in a property": {"properties": {"a": {"b": ["x\0y"]}}},
    "nul in a property's name": {"properties": {"a\0": 1}},
    "nul in the id": {"transaction_id": "a\0b"},
    "id over the index": {"transaction_id": noise(2700)},
    "id and subscription over the index": {
        "transaction_id": noise(1400),
        "external_subscription_id": noise(1400),
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
    for answer in (api.post("events", {"event": poison}), api.send(event("good"), poison)):
        assert (answer.status_code, answer.json()) == (500, {"status": 500, "error": "Internal Server Error"})
    assert api.ids() == []


def test_what_validation_finds_comes_first(api: Api) -> None:
    response = api.send(event("a\0"), event(code=""))
    assert response.json() == invalid({"1": {"code": ["value_is_mandatory"]}})


@pytest.mark.parametrize(
    "transaction_id",
    ["é" * 1000, noise(2600), "x" * 20_000, "0123456789" * 900, noise(400) * 40],
    ids=["two thousand bytes", "as long as fits", "one letter", "ten digits", "a long text again and again"],
)
def test_an_id_that_fits_or_repeats_itself_passes(api: Api, transaction_id: str) -> None:
    assert api.send(event(transaction_id)).status_code == 200
    assert api.ids() == [transaction_id]


def test_a_nul_in_the_subscription_of_a_single_event_is_called_a_wrong_timestamp(api: Api) -> None:
    poison = event(external_subscription_id="a\0b")
    response = api.post("events", {"event": poison})
    assert (response.status_code, response.json()) == (422, invalid({"timestamp": ["invalid_format"]}))
    assert api.send(poison).status_code == 500
