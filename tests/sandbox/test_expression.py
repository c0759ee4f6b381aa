"""Expressions: what they compute, and what becomes of events that don't fit."""

from typing import Any

import pytest

from reconciler.sandbox.grammar import UnstorableError
from reconciler.sandbox.resources.expression import EvaluationError, Event, is_expression, parse
from tests.sandbox.conftest import Api, event, invalid

PROPERTIES = {"a": "1.23", "b": "test", "c": 12.34, "n": 7, "tiny": "1e-7", "flag": True}


def evaluate(text: str) -> str:
    return parse(text).evaluate(Event("llm", 1234, PROPERTIES))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2", "3.0"),
        ("1+2*3", "7.0"),
        ("(1 + 2) * 3", "9.0"),
        ("2 * -3", "-6.0"),
        ("-(1 - 2.5)", "1.5"),
        ("10 - 2 - 3", "5.0"),
        ("8 / 4 / 2", "1.0"),
        ("1 / 3 * 3", "0." + "9" * 100),
        ("(123 - event.properties.a) / 10", "12.177"),
        ("event.properties.c + event.properties.n", "19.34"),
        ("event.properties.tiny", "0.0000001"),
        ("event.timestamp", "1234.0"),
        ("event.code", "llm"),
        ("'two words'", "two words"),
        ("''", ""),
        ("concat(event.properties.b, '-', 'suffix', 2.50)", "test-suffix2.50"),
        ("round(12.5)", "13.0"),
        ("round(-12.5)", "-13.0"),
        ("round(12.345, 2)", "12.35"),
        ("round(event.properties.c, -1)", "10.0"),
        ("ROUND(1.4)", "1.0"),
        ("ceil(12.351, 1)", "12.4"),
        ("Ceil(-1.5)", "-1.0"),
        ("floor(12.351, 1)", "12.3"),
        ("floor( 1.9 )", "1.0"),
        ("least(3, 1, 2)", "1.0"),
        ("GREATEST(3, event.properties.n)", "7.0"),
        ("123456789012345678901234567890.5 - 0.25", "123456789012345678901234567890.25"),
    ],
)
def test_an_expression_has_its_result_as_text(text: str, result: str) -> None:
    assert is_expression(text)
    assert evaluate(text) == result


@pytest.mark.parametrize(
    "text",
    [
        "1 +",
        "1.1.1",
        ".5",
        "properties.a",
        "event.properties",
        "event.properties.1a",
        "event . code",
        "event.other",
        "(1",
        "1)",
        "1 2",
        "'open",
        "--1",
        "+1",
        "round()",
        "round(1, 2, 3)",
        "rOuNd(1)",
        "sqrt(4)",
        "round",
        "1 % 2",
        "\t1",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_expression(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("event.properties.missing + 1", "Variable: missing not found"),
        ("concat(event.properties.missing)", "Variable: missing not found"),
        ("event.properties.b * 2", "Expected a decimal"),
        ("event.properties.flag * 2", "Expected a decimal"),
        ("-event.code", "Expected a decimal"),
        ("round('x')", "Expected a decimal"),
        ("least(1, 'x')", "Expected a decimal"),
    ],
)
def test_an_event_that_does_not_fit_is_an_error(text: str, error: str) -> None:
    with pytest.raises(EvaluationError, match=f"^{error}$"):
        evaluate(text)


@pytest.mark.parametrize("text", ["1 / 0", "round(1, 99999999)"])
def test_what_lago_dies_of_is_told_apart(text: str) -> None:
    with pytest.raises(UnstorableError):
        evaluate(text)


# -- at ingest


def make(api: Api, expression: str = "event.properties.a + event.properties.b") -> None:
    metric = {"name": "N", "code": "sums", "aggregation_type": "sum_agg", "field_name": "value"}
    response = api.post("billable_metrics", {"billable_metric": metric | {"expression": expression}})
    assert response.json()["billable_metric"]["expression"] == expression


def sums(transaction_id: Any = "txn", **fields: Any) -> dict[str, Any]:
    return event(transaction_id, **{"code": "sums", "properties": {"a": "1", "b": "2"}, **fields})


FAILED = "expression_evaluation_failed: Variable: b not found"


def test_the_result_is_stored_in_the_metric_s_field(api: Api) -> None:
    make(api)
    answer = api.post("events", {"event": sums(properties={"a": "1", "b": "2", "value": "mine"})}).json()["event"]
    assert answer["properties"] == {"a": "1", "b": "2", "value": "3.0"}
    assert api.get("events/txn").json()["event"]["properties"] == answer["properties"]
    assert api.send(sums("other")).json()["events"][0]["properties"]["value"] == "3.0"


def test_a_missing_property_is_told_in_a_sentence(api: Api) -> None:
    make(api)
    response = api.post("events", {"event": sums(properties={"a": "1"})})
    assert (response.status_code, response.json()) == (422, invalid(FAILED))
    batch = api.send(sums("fine"), sums("bad", properties={"a": "1"}))
    assert (batch.status_code, batch.json()) == (422, invalid({"1": FAILED}))
    assert api.ids() == []


def test_a_missing_id_comes_after_the_expression_alone_and_before_it_in_a_batch(api: Api) -> None:
    make(api)
    bad = sums(transaction_id=None, properties={"a": "1"})
    mandatory = {"transaction_id": ["value_is_mandatory"]}
    assert api.post("events", {"event": bad}).json() == invalid(FAILED)
    assert api.send(bad).json() == invalid({"0": mandatory})


def test_a_wrong_timestamp_comes_first(api: Api) -> None:
    make(api)
    bad = sums(timestamp="x", properties={"a": "1"})
    assert api.post("events", {"event": bad}).json() == invalid({"timestamp": ["invalid_format"]})


def test_duplicates_are_not_looked_for_while_an_expression_fails(api: Api) -> None:
    make(api)
    api.send(sums("known"))
    assert api.send(sums("known"), sums("bad", properties={})).json() == invalid(
        {"1": "expression_evaluation_failed: Variable: a not found"}
    )


def test_a_time_before_1970_is_a_500(api: Api) -> None:
    make(api, "event.timestamp")
    assert api.post("events", {"event": sums(timestamp=-1)}).status_code == 500
    assert api.post("events", {"event": sums(timestamp="12.9")}).json()["event"]["properties"]["value"] == "12.0"


def test_other_codes_are_left_alone(api: Api) -> None:
    make(api)
    assert api.send(event(properties={})).status_code == 200


def test_clickhouse_evaluates_as_well(ch: Api) -> None:
    make(ch)
    assert ch.send(sums()).json()["events"][0]["properties"]["value"] == "3.0"
    assert ch.post("events", {"event": sums(properties={"a": 1})}).json() == invalid(FAILED)


def test_a_metric_takes_no_other_expression(api: Api) -> None:
    metric = {"name": "N", "code": "sums", "aggregation_type": "sum_agg", "field_name": "value"}
    response = api.post("billable_metrics", {"billable_metric": metric | {"expression": "properties.a"}})
    assert response.json() == invalid({"expression": ["invalid_expression"]})
