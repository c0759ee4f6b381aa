"""Ids are those of docs/event-ids.md, for ever."""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.identity import bucket_hash, transaction_id

TESTS = Path(__file__).parents[1]
VECTORS: list[dict[str, Any]] = json.loads((TESTS / "data" / "event_ids.json").read_text())
FIELDS = ("meter", "code", "charge_by", "window_start", "window_seconds", "customer", "model", "revision")
START = datetime.fromisoformat("2026-11-23T12:00:00Z")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_gives_the_documented_ids(vector: dict[str, Any]) -> None:
    fields = {name: vector[name] for name in FIELDS} | {"window_start": datetime.fromisoformat(vector["window_start"])}
    assert transaction_id(**fields) == vector["transaction_id"]
    assert bucket_hash(vector["customer"], vector["model"]).hex() == vector["bucket_hash"]


def test_the_page_has_the_same_table() -> None:
    page = (TESTS.parent / "docs" / "event-ids.md").read_text(encoding="utf-8").splitlines()
    found = [line.strip("| ").split(" | ") for line in page if "`r1_" in line and line.startswith("|")]

    def shown(text: str) -> str:
        return f"{text[0]} \u00d7 {len(text)}" if len(text) > 100 else f"`{json.dumps(text)}`"

    assert found == [
        [
            vector["name"],
            *(str(vector[name]) for name in FIELDS[:5]),
            shown(vector["customer"]),
            shown(vector["model"]),
            str(vector["revision"]),
            f"`{vector['transaction_id']}`",
        ]
        for vector in VECTORS
    ]


@given(st.lists(texts, min_size=5, max_size=5), st.integers(60, 86_400), st.integers(0, 10**6))
def test_is_the_formula(given_texts: list[str], seconds: int, revision: int) -> None:
    meter, code, charge_by, customer, model = given_texts
    fields = [meter, code, charge_by, "2026-11-23T12:00:00Z", str(seconds), customer, model, str(revision)]
    hashed = b"".join(str(len(f.encode())).encode() + b":" + f.encode() for f in fields)
    found = transaction_id(meter, code, charge_by, START, seconds, customer, model, revision)
    assert found == "r1_" + hashlib.sha256(hashed).hexdigest()


@given(texts, texts, texts, texts)
def test_buckets_differ_where_their_keys_do(one: str, two: str, three: str, four: str) -> None:
    assert (bucket_hash(one, two) == bucket_hash(three, four)) == ((one, two) == (three, four))
    assert len(bucket_hash(one, two)) == 32


def test_the_zone_in_which_a_start_is_given_does_not_matter() -> None:
    local = START.astimezone(timezone(timedelta(hours=5, minutes=45)))
    ids = {transaction_id("m", "c", "user_id", start, 900, "a", "", 0) for start in (START, local)}
    assert len(ids) == 1


def test_refuses_text_that_has_no_utf_8() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        bucket_hash("\udce9", "")
