from urllib.parse import quote

import pytest

from tests.sandbox.conftest import Api, event, invalid

SPECIAL = ["1Az()[]?#._/|-/../", "a/b", "%2F", "a b+c", "line\nbreak\n", "ünï/cödé", "..", "batch", "/"]


@pytest.mark.parametrize("transaction_id", SPECIAL)
def test_any_id_is_found_percent_encoded(api: Api, transaction_id: str) -> None:
    api.send(event(transaction_id))
    response = api.get("events/" + quote(transaction_id, safe=""))
    if transaction_id == "..":
        response = api.get("events/%2E%2E")
    assert response.json()["event"]["transaction_id"] == transaction_id


def test_a_bare_slash_is_part_of_the_path(api: Api) -> None:
    api.send(event("a/b"))
    assert api.get("events/a/b").json()["code"] == "resource_not_found"


def test_an_unknown_id_is_not_found(api: Api) -> None:
    response = api.get("events/unknown")
    assert response.status_code == 404
    assert response.json() == {"status": 404, "error": "Not Found", "code": "event_not_found"}


def test_an_empty_list_has_page_zero(api: Api) -> None:
    meta = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}
    assert api.get("events").json() == {"events": [], "meta": meta}


def test_pages_tell_their_neighbours(api: Api) -> None:
    api.send(*(event(str(n)) for n in range(3)))
    first, last = (api.get("events", page=page, per_page=2).json() for page in (1, 2))
    common = {"total_pages": 2, "total_count": 3}
    assert first["meta"] == {"current_page": 1, "next_page": 2, "prev_page": None, **common}
    assert last["meta"] == {"current_page": 2, "next_page": None, "prev_page": 1, **common}
    assert [len(page["events"]) for page in (first, last)] == [2, 1]


def test_a_page_has_a_hundred_events_unless_asked_for_more(api: Api) -> None:
    for batch in "ab":
        api.send(*(event(f"{batch}{n}") for n in range(100)))
    assert len(api.ids()) == 100
    assert len(api.ids(per_page=1000)) == 200


def test_the_newest_come_first_then_by_id(api: Api) -> None:
    api.send(event("b", timestamp=1), event("a", timestamp=1), event("z", timestamp=2))
    assert api.ids() == ["z", "a", "b"]


def test_events_are_found_by_code_subscription_and_time_both_ends_included(api: Api) -> None:
    day = 1_709_251_200  # 2024-03-01
    api.send(
        event("1", timestamp=day, code="x"),
        event("2", timestamp=day + 60, external_subscription_id="other"),
        event("3", timestamp=f"{day + 120}.5"),
    )
    assert api.ids(code="x") == ["1"]
    assert api.ids(external_subscription_id="other") == ["2"]
    assert api.ids(timestamp_from="2024-03-01T00:01:00Z") == ["3", "2"]
    assert api.ids(timestamp_to="2024-03-01T00:01:00Z") == ["2", "1"]
    assert api.ids(timestamp_to="2024-03-01") == ["1"]
    assert api.ids(timestamp_from="2024-03-01T01:02:00.500+01:00") == ["3"]
    assert api.ids(external_subscription_id="sub", code="llm_cost", timestamp_from="2024-03-01") == ["3"]


@pytest.mark.parametrize("name", ["timestamp_from", "timestamp_to"])
def test_a_bad_date_is_unprocessable(api: Api, name: str) -> None:
    response = api.get("events", **{name: "yesterday"})
    assert response.status_code == 422
    assert response.json() == invalid({name: ["invalid_date"]})


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ({"timestamp_from_started_at": "yes"}, {"timestamp_from_started_at": ["must be one of: true, false"]}),
        (
            {"timestamp_from_started_at": "true"},
            {"external_subscription_id": ["required with timestamp_from_started_at"]},
        ),
        (
            {"timestamp_from_started_at": "true", "external_subscription_id": "sub", "timestamp_from": "2024-03-01"},
            {"timestamp_from": ["cannot be used with timestamp_from_started_at"]},
        ),
    ],
)
def test_filters_that_make_no_sense_are_unprocessable(
    api: Api, query: dict[str, str], details: dict[str, list[str]]
) -> None:
    response = api.get("events", **query)
    assert response.status_code == 422
    assert response.json() == invalid(details)


def test_the_start_of_an_unknown_subscription_filters_nothing(api: Api) -> None:
    api.send(event())
    assert api.ids(timestamp_from_started_at="true", external_subscription_id="sub") == ["txn"]


def test_enriched_events_are_forbidden_on_the_postgres_store(api: Api) -> None:
    response = api.get("events_enriched")
    assert response.status_code == 403
    assert response.json() == {"status": 403, "error": "Forbidden", "code": "endpoint_not_available"}
