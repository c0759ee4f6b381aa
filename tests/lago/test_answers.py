"""What each answer to a batch means, whatever it is: only Lago's own JSON with exactly our ids is a yes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.lago.answers import (
    DUPLICATE,
    Accepted,
    Answer,
    Away,
    Barred,
    Named,
    Refused,
    Throttled,
    TooMany,
    Unknown,
    not_stored,
    parsed,
    read_answer,
)

IDS = ["r1_a", "r1_b"]
JSON = {"content-type": "application/json"}


def events(*ids: object) -> dict[str, Any]:
    return {"events": [{"transaction_id": id_, "lago_id": None, "created_at": None} for id_ in ids]}


def invalid(details: object, **more: object) -> dict[str, Any]:
    return {
        "status": 422,
        "error": "Unprocessable Entity",
        "code": "validation_errors",
        "error_details": details,
    } | more


ANSWERS: dict[str, tuple[int, Any, object]] = {
    "stored": (200, events("r1_a", "r1_b"), Accepted()),
    "in another order": (200, events("r1_b", "r1_a"), Unknown),
    "with one missing": (200, events("r1_a"), Unknown),
    "with one too many": (200, events("r1_a", "r1_b", "r1_c"), Unknown),
    "without ids": (200, {"events": [{}, {}]}, Unknown),
    "of something else": (200, {"status": "ok"}, Unknown),
    "a list": (200, [{"transaction_id": "r1_a"}, {"transaction_id": "r1_b"}], Unknown),
    "empty": (200, "", Unknown),
    "created": (201, events("r1_a", "r1_b"), Unknown),
    "no content": (204, "", Unknown),
    "one duplicate": (422, invalid({"1": DUPLICATE}), Named({1: DUPLICATE})),
    "two faults": (
        422,
        invalid({"0": {"code": ["value_is_mandatory"]}, "1": "expression_evaluation_failed: Variable: b not found"}),
        Named({0: {"code": ["value_is_mandatory"]}, 1: "expression_evaluation_failed: Variable: b not found"}),
    ),
    "too many": (422, invalid({"events": ["too_many_events"]}), TooMany()),
    "a place that is not ours": (422, invalid({"7": DUPLICATE}), Refused),
    "no details": (422, invalid({}), Refused),
    "another validation": (422, invalid({}, code="something_else"), Refused),
    "a gateway's 422": (422, "<html>422</html>", Unknown),
    "half a 422": (422, '{"status": 422, "code": "valid', Unknown),
    "an old Lago's repeated id": (422, {"status": 422, "error": "Unprocessable Content"}, Refused),
    "places of more than ours": (422, invalid({"0": DUPLICATE, "9" * 5000: DUPLICATE}), Refused),
    "too fast": (429, "", Throttled),
    "a bad request": (400, {"status": 400, "error": "BadRequest: param is missing"}, Refused),
    "a gateway's bad request": (400, "<html>", Unknown),
    "a body that is too large": (413, "<html>", Refused("413, too large for Lago or for a gateway before it")),
    "a time-out of a gateway's": (408, "", Unknown),
    "a wrong key": (401, {"status": 401, "error": "Unauthorized"}, Barred),
    "a forbidden write": (403, {"status": 403, "code": "write_action_not_allowed_for_event"}, Barred),
    "a page that points elsewhere": (302, "<html>", Barred),
    "a firewall's page": (403, "<html>Blocked</html>", Unknown),
    "no such route": (404, {"status": 404, "code": "resource_not_found"}, Barred),
    "moved": (301, "", Barred),
    "a page for a wrong key": (401, "<html>", Unknown),
    "a page for no such route": (404, "<html>", Unknown),
    "an error": (500, {"status": 500, "error": "Internal Server Error"}, Unknown("it answers 500", lagos=True)),
    "an error without a body": (500, "", Unknown("it answers 500")),
    "a bad gateway": (502, "<html>", Unknown),
    "unavailable": (503, "", Unknown),
    "a gateway's time-out": (504, "", Unknown),
}


@pytest.mark.parametrize(("status", "body", "meaning"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_means(status: int, body: Any, meaning: object) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = read_answer(status, JSON, content.encode(), IDS)
    if isinstance(meaning, type):
        assert isinstance(answer, meaning)
    else:
        assert answer == meaning


def said(status: int, content: str, kind: str = "text/html; charset=utf-8") -> str:
    answer = read_answer(status, {"content-type": kind, "location": "https://x.example/"}, content.encode(), IDS)
    assert isinstance(answer, Barred | Unknown | Refused)
    return answer.said


def test_a_server_that_echoes_our_batch_is_not_lago() -> None:
    echo = {"events": [{"transaction_id": id_, "code": "llm"} for id_ in IDS]}
    assert isinstance(read_answer(200, JSON, json.dumps(echo).encode(), IDS), Unknown)


def test_a_person_is_told_what_to_mend() -> None:
    lagos = {code: json.dumps({"status": code, "error": "x"}) for code in (401, 404)}
    forbidden = json.dumps({"status": 403, "error": "Forbidden", "code": "write_action_not_allowed_for_event"})
    assert "LAGO_API_KEY is not a key" in said(401, lagos[401])
    assert "LAGO_API_KEY may not write events: give the key that permission in Lago" in said(403, forbidden)
    assert "LAGO_API_BASE is not the address of a Lago" in said(404, lagos[404])
    assert "points to https://x.example/" in said(302, "")


def test_an_answer_that_is_not_lagos_is_called_what_it_is() -> None:
    told = {
        200: "but a web page, perhaps Lago's front end or a gateway's: set LAGO_API_BASE to the address of Lago's API",
        401: "but a gateway before Lago refuses us and has not looked at LAGO_API_KEY: let it pass our requests",
        403: "but a gateway before Lago refuses us",
        404: "but a gateway knows no such address: see that LAGO_API_BASE is the address of Lago's API",
        407: "but a proxy wants a password",
        405: "but a gateway's page",
    }
    for status, words in told.items():
        assert f"{status} with text/html that is not Lago's answer, {words}" in said(status, "<html>")
    assert "but another service's answer: see that LAGO_API_BASE is" in said(200, "{}", kind="application/json")


def test_what_no_database_could_take_is_escaped_in_lagos_words() -> None:
    body = '{"status": 400, "error": "a\\ud800b\\u0000c \\ud83e\\udd8a", "\\udfff": ["\\udfff", {"x": "\\u0000"}]}'
    assert parsed(body.encode()) == {
        "status": 400,
        "error": "a\\ud800b\\x00c 🦊",
        "\\udfff": ["\\udfff", {"x": "\\x00"}],
    }
    assert parsed(b'{"a": "\xed\xa0\x80"}') == {"a": "\\ud800"}
    assert parsed('{"a": "ü"}'.encode("utf-16")) == {"a": "ü"}
    assert said(400, body).startswith("400 a\\ud800b\\x00c")


def test_what_is_said_has_a_bounded_length() -> None:
    long = "x" * 10_000
    assert len(said(400, json.dumps({"status": 400, "error": long}))) < 600
    assert len(said(200, "", kind=long)) < 600
    answer = read_answer(422, JSON, json.dumps(invalid({"0": {"code": [long]}})).encode(), IDS)
    assert isinstance(answer, Named)
    assert len(str(answer.faults[0])) == 500


def test_what_is_certain_not_to_be_stored() -> None:
    certain: list[Answer] = [Named({}), TooMany(), Refused(""), Throttled(1), Barred(""), Away("")]
    assert all(not_stored(answer) for answer in certain)
    assert not not_stored(Accepted())
    assert not not_stored(Unknown(""))


texts = st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts | st.just("events"), children, max_size=3),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.integers(100, 599), anything.map(json.dumps).map(str.encode) | st.binary())
def test_nothing_but_our_ids_is_a_yes_and_nothing_makes_it_stumble(status: int, content: bytes) -> None:
    assert not isinstance(read_answer(status, {}, content, IDS), Accepted)
