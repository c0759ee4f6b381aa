"""What each answer to a batch means, whatever it is: only Lago's own JSON with exactly our ids is a yes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.lago.answers import DUPLICATE, Accepted, Malformed, Refused, Rejected, TooMany, Unknown, read_answer

IDS = ["r1_a", "r1_b"]
JSON = {"content-type": "application/json"}


def events(*ids: object) -> dict[str, Any]:
    return {"events": [{"transaction_id": id_, "lago_id": None} for id_ in ids]}


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
    "one duplicate": (422, invalid({"1": DUPLICATE}), Rejected({1: DUPLICATE})),
    "two faults": (
        422,
        invalid({"0": {"code": ["value_is_mandatory"]}, "1": "expression_evaluation_failed: Variable: b not found"}),
        Rejected({0: {"code": ["value_is_mandatory"]}, 1: "expression_evaluation_failed: Variable: b not found"}),
    ),
    "too many": (422, invalid({"events": ["too_many_events"]}), TooMany()),
    "a place that is not ours": (422, invalid({"7": DUPLICATE}), Malformed),
    "no details": (422, invalid({}), Malformed),
    "another validation": (422, invalid({}, code="something_else"), Malformed),
    "a gateway's 422": (422, "<html>422</html>", Unknown),
    "half a 422": (422, '{"status": 422, "code": "valid', Unknown),
    "a bad request": (400, {"status": 400, "error": "BadRequest: param is missing"}, Malformed),
    "a gateway's bad request": (400, "<html>", Unknown),
    "a body that is too large": (413, "<html>", Malformed),
    "a time-out of a gateway's": (408, "", Unknown),
    "a wrong key": (401, {"status": 401, "error": "Unauthorized"}, Refused),
    "a forbidden write": (403, {"status": 403, "code": "write_action_not_allowed_for_event"}, Refused),
    "a firewall's page": (403, "<html>Blocked</html>", Unknown),
    "no such route": (404, {"status": 404, "code": "resource_not_found"}, Refused),
    "moved": (301, "", Refused),
    "an error": (500, {"status": 500, "error": "Internal Server Error"}, Unknown),
    "an error without a body": (500, "", Unknown),
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


texts = st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts | st.just("events"), children, max_size=3),
    max_leaves=10,
)


@given(st.integers(100, 599), anything.map(json.dumps).map(str.encode) | st.binary())
def test_nothing_but_our_ids_is_a_yes_and_nothing_makes_it_stumble(status: int, content: bytes) -> None:
    assert not isinstance(read_answer(status, {}, content, IDS), Accepted)
