import time
from typing import Any

import httpx
import pytest

from reconciler.sandbox import Sandbox
from reconciler.sandbox.trouble.faults import Faults
from tests.sandbox.conftest import Api, event


@pytest.mark.parametrize("status", [500, 429, 401, 403, 404])
def test_a_status_is_answered_and_nothing_stored(lago: Sandbox, api: Api, status: int) -> None:
    lago.faults({"kind": "status", "status": status, "headers": {"X-RateLimit-Reset": "1"}})
    response = api.send(event())
    assert (response.status_code, response.headers["X-RateLimit-Reset"]) == (status, "1")
    assert response.json()["status"] == status
    assert api.send(event()).status_code == 200


def test_a_status_can_carry_any_body(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "status": 503, "body": "<html>"})
    assert api.send(event()).text == "<html>"


def test_commit_then_500_stores(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "commit_then_500"})
    assert api.send(event()).status_code == 500
    assert api.ids() == ["txn"]


@pytest.mark.parametrize(("kind", "stored"), [("drop", []), ("commit_then_drop", ["txn"])])
def test_a_dropped_connection_has_no_answer(lago: Sandbox, api: Api, kind: str, stored: list[str]) -> None:
    lago.faults({"kind": kind})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        api.send(event())
    assert api.ids() == stored


@pytest.mark.parametrize(("commit", "stored"), [(False, []), (True, ["txn"])])
def test_a_hanging_request_times_out(lago: Sandbox, api: Api, commit: bool, stored: list[str]) -> None:
    lago.faults({"kind": "hang", "seconds": 60, "commit": commit})
    with pytest.raises(httpx.ReadTimeout):
        api.post("events/batch", {"events": [event()]}, timeout=0.1)
    assert api.ids() == stored


def test_a_hanging_request_ends_without_answer(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "hang", "seconds": 0.05})
    with pytest.raises(httpx.RemoteProtocolError):
        api.send(event())


@pytest.mark.parametrize("kind", ["slow", "busy"])
def test_a_slow_answer_is_the_true_one(lago: Sandbox, api: Api, kind: str) -> None:
    lago.faults({"kind": kind, "seconds": 60}, {"kind": kind, "seconds": 0.05})
    with pytest.raises(httpx.ReadTimeout):
        api.post("events/batch", {"events": [event()]}, timeout=0.1)
    lago.clear_faults()
    lago.faults({"kind": kind, "seconds": 0.05})
    assert api.send(event(transaction_id="another")).status_code == 200


def test_who_is_busy_works_at_one_request_at_a_time() -> None:
    times = iter([100.0, 100.0, 100.5, 200.0, 200.1])
    faults = Faults(clock=times.__next__)
    assert [round(faults.turn(0.4), 3) for _ in range(4)] == [0.4, 0.8, 0.7, 0.4]
    faults.clear()
    assert faults.turn(0.4) == pytest.approx(0.4)


def test_a_gateway_answers_200_in_html(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "html"})
    response = api.send(event())
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert api.ids() == []


@pytest.mark.parametrize(("status", "stored"), [(502, []), (503, ["txn"])])
def test_a_gateway_s_page_has_any_status(lago: Sandbox, api: Api, status: int, stored: list[str]) -> None:
    lago.faults({"kind": "html", "status": status, "headers": {"Retry-After": "3"}, "commit": bool(stored)})
    response = api.send(event())
    assert (response.status_code, response.headers["Retry-After"]) == (status, "3")
    assert "<html>" in response.text
    assert api.ids() == stored


def test_a_slow_request_takes_effect_late_even_if_the_client_is_gone(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "slow", "seconds": 0.3})
    with pytest.raises(httpx.ReadTimeout):
        api.post("events/batch", {"events": [event()]}, timeout=0.05)
    assert api.ids() == []
    time.sleep(0.4)
    assert api.ids() == ["txn"]


def test_a_slow_answer_can_be_to_a_request_that_took_effect_at_once(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "slow", "seconds": 60, "commit": True})
    with pytest.raises(httpx.ReadTimeout):
        api.post("events/batch", {"events": [event()]}, timeout=0.1)
    assert api.ids() == ["txn"]


def test_a_truncated_answer_is_no_json_and_the_events_are_stored(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "truncate"})
    response = api.send(event())
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()
    assert api.ids() == ["txn"]


def test_a_fault_hits_as_many_requests_as_told_of_its_method_and_path(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "path": "/api/v1/events/batch", "method": "POST", "count": 2})
    assert api.get("events").status_code == 200
    assert [api.send(event()).status_code for _ in range(3)] == [500, 500, 200]
    assert lago.pending_faults() == []


def test_a_star_in_a_path_stands_for_anything(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "path": "/api/v1/customers/*/current_usage", "count": None})
    assert api.get("customers/acme").status_code == 404
    assert api.get("customers/acme/current_usage", external_subscription_id="x").status_code == 500


@pytest.mark.parametrize(
    ("named", "hit"),
    [
        ({"transaction_id": "a1"}, [500, 200, 200, 200]),
        ({"transaction_id_prefix": "a"}, [500, 500, 200, 200]),
        ({"external_subscription_id": "s2"}, [200, 200, 500, 200]),
        ({"transaction_id_prefix": "a", "external_subscription_id": "s2"}, [200, 200, 200, 200]),
    ],
)
def test_a_fault_hits_requests_by_the_events_they_carry(
    lago: Sandbox, api: Api, named: dict[str, str], hit: list[int]
) -> None:
    lago.faults({"kind": "status", "count": None, **named})
    batches = [[event("x1"), event("a1")], [event("a2")], [event("b1", external_subscription_id="s2")], [event("c1")]]
    assert [api.send(*batch).status_code for batch in batches] == hit


def test_the_same_seed_hits_the_same_requests(lago: Sandbox, api: Api) -> None:
    def run(seed: int) -> list[int]:
        lago.reset()
        lago.faults(
            {"kind": "commit_then_500", "probability": 0.2, "seed": seed},
            {"kind": "status", "status": 429, "probability": 0.2, "seed": seed + 1},
        )
        return [api.get("events").status_code for _ in range(60)]

    first, again, other = run(1), run(1), run(3)
    assert first == again != other
    assert {200, 429, 500} == set(first)


def test_odds_are_for_requests_that_fit_and_a_count_ends_them(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "probability": 1, "count": 1, "method": "POST"})
    assert [api.get("events").status_code, api.send(event()).status_code] == [200, 500]
    assert lago.pending_faults() == []


def test_clickhouse_can_lose_the_rest_of_a_batch(ch: Api, clickhouse: Sandbox) -> None:
    clickhouse.faults({"kind": "drop", "commit": True, "events": 2})
    with pytest.raises(httpx.RemoteProtocolError):
        ch.send(event("a"), event("b"), event("c"))
    assert sorted(ch.ids()) == ["a", "b"]
    ch.send(event("d"), event("e"), event("f"))
    assert len(ch.ids()) == 5


def test_postgres_loses_no_part_of_a_batch(lago: Sandbox) -> None:
    with pytest.raises(ValueError, match="commits all events of a request or none"):
        lago.faults({"kind": "drop", "commit": True, "events": 2})


def test_a_fault_without_count_lasts_until_cleared(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "count": None})
    assert {api.send(event()).status_code for _ in range(5)} == {500}
    lago.clear_faults()
    assert api.send(event()).status_code == 200


def test_faults_come_in_the_order_given(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "status": 502}, {"kind": "status", "status": 503})
    assert [api.send(event()).status_code for _ in range(3)] == [502, 503, 200]


@pytest.mark.parametrize(
    "fault", [{}, {"kind": "unheard-of"}, {"kind": "drop", "cuont": 1}, {"kind": "drop", "count": 0}]
)
def test_a_fault_that_makes_no_sense_is_refused(lago: Sandbox, fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="error"):
        lago.faults(fault)
    assert lago.pending_faults() == []
