import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import TAKEN, Api, event, invalid


def test_a_batch_is_answered_in_order(api: Api) -> None:
    response = api.send(event("b"), event("a"), event("c"))
    assert response.status_code == 200
    assert list(response.json()) == ["events"]
    answer = response.json()["events"]
    assert [one["transaction_id"] for one in answer] == ["b", "a", "c"]
    assert all(one["lago_id"] and one["created_at"] for one in answer)


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": None}, {"events": "x"}, {"event": event()}])
def test_no_events_is_unprocessable(api: Api, body: object) -> None:
    response = api.post("events/batch", body)
    assert response.status_code == 422
    assert response.json() == invalid({"events": ["no_events"]})


def test_a_hundred_pass_and_one_more_fails(api: Api) -> None:
    assert api.send(*(event(str(n)) for n in range(101))).json() == invalid({"events": ["too_many_events"]})
    assert api.send(*(event(str(n)) for n in range(100))).status_code == 200


def test_the_greatest_length_can_be_set() -> None:
    with Sandbox(batch_max_length=2) as lago, Api(lago).client as client:
        bodies = [{"events": [event(str(n)) for n in range(count)]} for count in (3, 2)]
        assert [client.post("events/batch", json=body).status_code for body in bodies] == [422, 200]


def test_one_invalid_event_stores_nothing_and_is_named_by_its_index(api: Api) -> None:
    response = api.send(event("0"), event("1", timestamp="x"), event("2"), event("3", code=""))
    expected = {"1": {"timestamp": ["invalid_format"]}, "3": {"code": ["value_is_mandatory"]}}
    assert response.json() == invalid(expected)
    assert api.ids() == []


def test_duplicates_are_not_looked_for_while_an_event_is_invalid(api: Api) -> None:
    api.send(event("known"))
    response = api.send(event("known"), event("new", timestamp="x"))
    assert response.json() == invalid({"1": {"timestamp": ["invalid_format"]}})


@pytest.mark.parametrize("known", [["0"], ["1"], ["2"], ["0", "2"], ["0", "1", "2"]])
def test_known_events_roll_the_batch_back_and_are_named(api: Api, known: list[str]) -> None:
    api.send(*map(event, known))
    assert api.send(event("0"), event("1"), event("2")).json() == invalid(dict.fromkeys(known, TAKEN))
    assert sorted(api.ids()) == known


@pytest.mark.parametrize(
    ("ids", "named"),
    [("aa", ["1"]), ("aaa", ["1", "2"]), ("aba", ["2"]), ("aabb", ["1", "3"])],
)
def test_an_id_twice_in_a_batch_is_an_error_of_the_later_ones(api: Api, ids: str, named: list[str]) -> None:
    assert api.send(*map(event, ids)).json() == invalid(dict.fromkeys(named, TAKEN))
    assert api.ids() == []


def test_an_id_in_two_subscriptions_of_one_batch_is_an_error_of_the_later(api: Api) -> None:
    batch = [event("x", external_subscription_id=sub) for sub in ("s1", "s2")]
    assert api.send(*batch).json() == invalid({"1": TAKEN})
    for one in batch:
        assert api.send(one).status_code == 200


def test_when_the_earlier_is_known_and_the_later_new_the_wrong_index_is_named(api: Api) -> None:
    known, new = (event("x", external_subscription_id=sub) for sub in ("s1", "s2"))
    api.send(known)
    assert api.send(known, new).json() == invalid({"1": TAKEN})


def test_an_id_twice_without_subscription_is_refused_in_a_batch_only(api: Api) -> None:
    nameless = event("x", external_subscription_id=None)
    assert api.send(nameless, nameless).json() == invalid({"1": TAKEN})
    assert api.send(nameless).status_code == 200
    assert api.send(nameless).status_code == 200
