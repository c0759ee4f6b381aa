import httpx

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import Api, event


def test_health_needs_no_key(lago: Sandbox) -> None:
    assert httpx.get(f"{lago.url}/sandbox/health", trust_env=False).json() == {"status": "ok"}


def test_the_log_tells_what_was_asked_and_answered(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "status", "status": 503})
    api.send(event("a"), event("b"))
    api.send(event("a"), event("b"))
    api.get("events", code="x")
    first, second, third = lago.requests()
    common = {"method": "POST", "path": "/api/v1/events/batch", "events": 2, "ids": ["a", "b"]}
    assert first == common | {"status": 503, "fault": "status"}
    assert second == common | {"status": 200, "fault": None}
    assert (third["path"], third["ids"]) == ("/api/v1/events?code=x", [])
    lago.clear_requests()
    assert lago.requests() == []


def test_a_cut_connection_is_logged_without_status(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "drop"})
    try:
        api.send(event())
    except httpx.RemoteProtocolError:
        assert [(one["status"], one["fault"]) for one in lago.requests()] == [(None, "drop")]


def test_totals_are_exact_by_subscription_code_and_model(lago: Sandbox, api: Api) -> None:
    tenths = [event(str(n), properties={"model": "m", "cost": "0.1", "tokens": 3, "bad": "1e3"}) for n in range(3)]
    api.send(*tenths, event("x", external_subscription_id=None, code="c", properties={}))
    nothing, something = lago.totals()
    assert nothing == {"external_subscription_id": None, "code": "c", "model": None, "events": 1, "sums": {}}
    assert something == {
        "external_subscription_id": "sub",
        "code": "llm_cost",
        "model": "m",
        "events": 3,
        "sums": {"cost": "0.3", "tokens": "9"},
    }
    assert lago.totals("other-key") == []


def test_reset_forgets_everything(lago: Sandbox, api: Api) -> None:
    api.send(event())
    api.post("customers", {"customer": {"external_id": "a"}})
    lago.faults({"kind": "drop"})
    lago.reset()
    assert (lago.events(), lago.requests(), lago.pending_faults()) == ([], [], [])
    assert api.get("customers/a").status_code == 404
