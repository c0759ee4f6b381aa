from typing import Any

import pytest

from tests.sandbox.conftest import TAKEN, Api, event, invalid


def test_the_answer_is_the_event_as_stored(api: Api) -> None:
    response = api.post("events", {"event": event(precise_total_amount_cents="123.45")})
    assert response.status_code == 200
    answer = response.json()["event"]
    assert len(answer.pop("lago_id")) == 36
    assert answer.pop("created_at").endswith("Z")
    assert answer == {
        "transaction_id": "txn",
        "lago_customer_id": None,
        "code": "llm_cost",
        "timestamp": "2024-03-14T13:09:00.590Z",
        "precise_total_amount_cents": "123.45",
        "properties": {"model": "gpt-4o", "response_cost": "0.00042", "input_tokens": 820},
        "lago_subscription_id": None,
        "external_subscription_id": "sub",
    }
    assert api.get("events/txn").json()["event"] == response.json()["event"]


def test_keys_that_are_not_permitted_are_dropped(api: Api) -> None:
    sent = event(external_customer_id="customer", lago_id="mine", external_subscription_id=...)
    answer = api.post("events", {"event": sent}).json()["event"]
    assert "external_customer_id" not in answer
    assert answer["lago_id"] != "mine"
    assert answer["external_subscription_id"] is None


@pytest.mark.parametrize(
    ("timestamp", "stored"),
    [
        (1710421740, "2024-03-14T13:09:00.000Z"),
        (1710421740.59, "2024-03-14T13:09:00.590Z"),
        ("1710421740.590", "2024-03-14T13:09:00.590Z"),
        ("1780586634.1", "2026-06-04T15:23:54.100Z"),
        ("1710421740.9999999", "2024-03-14T13:09:00.999Z"),
        ("1e3", "1970-01-01T00:16:40.000Z"),
        ("1_000", "1970-01-01T00:16:40.000Z"),
        (" 123 ", "1970-01-01T00:02:03.000Z"),
        (".5", "1970-01-01T00:00:00.500Z"),
        ("-5", "1969-12-31T23:59:55.000Z"),
        ("-0.0001", "1969-12-31T23:59:59.999Z"),
        ("+5", "1970-01-01T00:00:05.000Z"),
        ("5.", "1970-01-01T00:00:05.000Z"),
        ("5.e1", "1970-01-01T00:00:50.000Z"),
        (1710421740123, "56171-02-08T22:02:03.000Z"),
    ],
)
def test_timestamps_follow_big_decimal_and_show_milliseconds(api: Api, timestamp: Any, stored: str) -> None:
    answer = api.post("events", {"event": event(timestamp=timestamp)})
    assert answer.json()["event"]["timestamp"] == stored


@pytest.mark.parametrize("timestamp", ["", "12abc", "0x10", "1__0", "_1", ".", "e3", True, "2024-03-14T13:09:00Z"])
def test_other_timestamps_are_invalid(api: Api, timestamp: Any) -> None:
    response = api.post("events", {"event": event(timestamp=timestamp)})
    assert response.status_code == 422
    assert response.json() == invalid({"timestamp": ["invalid_format"]})


@pytest.mark.parametrize("timestamp", [..., None, False, {"a": 1}, [1]])
def test_without_a_timestamp_the_time_of_receipt_counts(api: Api, timestamp: Any) -> None:
    answer = api.post("events", {"event": event(timestamp=timestamp)}).json()["event"]
    assert answer["timestamp"][:19] == answer["created_at"][:19]


def test_microseconds_are_stored(api: Api) -> None:
    api.send(event("later", timestamp="1.000002"), event("sooner", timestamp="1.000001"))
    assert api.ids() == ["later", "sooner"]


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"transaction_id": ...}, ["transaction_id"]),
        ({"transaction_id": ""}, ["transaction_id"]),
        ({"transaction_id": " "}, ["transaction_id"]),
        ({"transaction_id": {"a": 1}}, ["transaction_id"]),
        ({"code": None}, ["code"]),
        ({"transaction_id": None, "code": []}, ["transaction_id", "code"]),
    ],
)
def test_id_and_code_are_mandatory(api: Api, fields: dict[str, Any], missing: list[str]) -> None:
    response = api.post("events", {"event": event(**fields)})
    assert response.json() == invalid({name: ["value_is_mandatory"] for name in missing})


def test_a_wrong_timestamp_hides_what_is_missing(api: Api) -> None:
    response = api.post("events", {"event": {"timestamp": "x"}})
    assert response.json() == invalid({"timestamp": ["invalid_format"]})


def test_scalars_become_text(api: Api) -> None:
    answer = api.post("events", {"event": event(transaction_id=12, external_subscription_id=1.5)}).json()["event"]
    assert (answer["transaction_id"], answer["external_subscription_id"]) == ("12", "1.5")


def test_nobody_asks_whether_code_or_subscription_exist_or_a_property_is_a_number(api: Api) -> None:
    sent = event(code="unknown", external_subscription_id="unknown", properties={"response_cost": "much"})
    assert api.post("events", {"event": sent}).status_code == 200


@pytest.mark.parametrize("properties", [..., None, "text", 5, [1], {}])
def test_properties_that_are_no_object_become_empty(api: Api, properties: Any) -> None:
    assert api.post("events", {"event": event(properties=properties)}).json()["event"]["properties"] == {}


def test_a_number_over_the_float_range_becomes_null(api: Api) -> None:
    body = b'{"event":{"transaction_id":"x","code":"c","properties":{"a":1e400,"b":1,"b":2}}}'
    answer = api.client.post("events", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["event"]["properties"] == {"a": None, "b": 2}


def test_a_null_in_an_array_is_dropped_and_others_stay(api: Api) -> None:
    sent = {"a": [1, None, {"b": [None], "c": None}], "d": None}
    answer = api.post("events", {"event": event(properties=sent)})
    assert answer.json()["event"]["properties"] == {"a": [1, {"b": [], "c": None}], "d": None}
    batch = api.post("events/batch", {"events": [None, event("of a batch")]})
    assert [one["transaction_id"] for one in batch.json()["events"]] == ["of a batch"]


def test_properties_are_ordered_as_jsonb_orders_them(api: Api) -> None:
    sent = {"bb": 1, "a": {"zz": [True, None], "y": "é"}, "B": 2.5}
    assert list(api.post("events", {"event": event(properties=sent)}).json()["event"]["properties"]) == ["B", "a", "bb"]


@pytest.mark.parametrize("content", [b"", b"[]", b'"text"', b"null"])
def test_a_body_that_is_no_object_carries_no_parameters(api: Api, content: bytes) -> None:
    response = api.client.post("events", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "param is missing" in response.text


@pytest.mark.parametrize(
    ("cents", "shown"),
    [
        ("70", "70.0"),
        (70, "70.0"),
        ("asdfa", "0.0"),
        ("12abc", "12.0"),
        ("0.0000000000000005", "0.000000000000001"),
        ("", None),
        (None, None),
        ("9" * 25, "9" * 25 + ".0"),
    ],
)
def test_cents_are_read_forgivingly_and_printed_anew(api: Api, cents: Any, shown: str | None) -> None:
    answer = api.post("events", {"event": event(precise_total_amount_cents=cents)}).json()["event"]
    assert answer["precise_total_amount_cents"] == shown


def test_a_known_id_is_refused_in_its_subscription_only_whatever_else_differs(api: Api) -> None:
    assert api.post("events", {"event": event()}).status_code == 200
    again = api.post("events", {"event": event(code="other", timestamp=1, properties={})})
    assert again.status_code == 422
    assert again.json() == invalid(TAKEN)
    assert api.get("events/txn").json()["event"]["code"] == "llm_cost"
    assert api.post("events", {"event": event(external_subscription_id="sub2")}).status_code == 200


def test_without_a_subscription_no_id_is_ever_taken(api: Api) -> None:
    for _ in range(2):
        assert api.post("events", {"event": event(external_subscription_id=...)}).status_code == 200
    assert api.ids() == ["txn", "txn"]


@pytest.mark.parametrize("body", [{}, {"event": {}}, {"event": None}, {"events": [event()]}, []])
def test_a_body_without_the_root_key_is_a_bad_request(api: Api, body: Any) -> None:
    response = api.post("events", body)
    assert response.status_code == 400
    message = "BadRequest: param is missing or the value is empty or invalid: event"
    assert response.json() == {"status": 400, "error": message}


def test_another_content_type_carries_no_parameters(api: Api) -> None:
    response = api.client.post("events", content=b'{"event":{}}', headers={"Content-Type": "text/plain"})
    assert response.status_code == 400
    assert "param is missing" in response.text


def test_a_body_that_is_not_json_is_explained_only_to_who_accepts_json(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    bare = api.client.post("events", content=b"{", headers=headers)
    assert (bare.status_code, bare.content) == (400, b"")
    told = api.client.post("events", content=b"{", headers=headers | {"Accept": "application/json"})
    assert told.json() == {"status": 400, "error": "Bad Request"}
