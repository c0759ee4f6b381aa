"""Rate limits as Lago's cloud has them."""

import pytest

from reconciler.sandbox import Sandbox
from reconciler.sandbox.trouble.limits import Limit, Limits
from reconciler.sandbox.trouble.requests import Asked
from tests.sandbox.conftest import Api, event


def test_what_is_over_the_limit_is_a_429_and_takes_no_effect(lago: Sandbox, api: Api) -> None:
    lago.limits({"requests": 2, "seconds": 60})
    answers = [api.send(event(name)) for name in "abc"]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"2"}
    assert {answer.headers["X-RateLimit-Reset"] for answer in answers} == {"60"}
    assert answers[2].headers.get("Retry-After") is None
    assert [one["fault"] for one in lago.requests()] == [None, None, "limit"]
    lago.limits()
    assert sorted(api.ids()) == ["a", "b"]
    assert "X-RateLimit-Limit" not in api.get("events").headers


def test_answers_of_faults_and_refusals_tell_the_limit_too(lago: Sandbox, api: Api) -> None:
    lago.limits({"requests": 5})
    lago.faults({"kind": "status", "status": 503})
    for answer in (api.send(event()), api.send(event(code="")), api.get("nowhere")):
        assert answer.headers["X-RateLimit-Limit"] == "5"


def test_each_organization_has_its_own(lago: Sandbox, api: Api) -> None:
    lago.limits({"requests": 1, "seconds": 60})
    with Api(lago, "other-key") as other:
        assert [each.get("events").status_code for each in (api, other, api, other)] == [200, 200, 429, 429]
    with Api(lago, "wrong-key") as stranger:
        assert stranger.get("events").status_code == 401


def test_a_request_counts_for_the_first_limit_that_it_fits(lago: Sandbox, api: Api) -> None:
    lago.limits(
        {"requests": 1, "seconds": 60, "path": "/api/v1/events/batch"},
        {"requests": 2, "seconds": 60, "method": "POST", "path": "/api/v1/events"},
        {"requests": 3, "seconds": 60, "path": "/api/v1/customers/*/current_usage"},
    )
    assert api.send(event("a")).headers["X-RateLimit-Limit"] == "1"
    assert api.post("events", {"event": event("b")}).headers["X-RateLimit-Limit"] == "2"
    assert api.get("customers/acme/current_usage").headers["X-RateLimit-Limit"] == "3"
    assert "X-RateLimit-Limit" not in api.get("events").headers
    assert api.send(event("c")).status_code == 429


def test_a_limit_begins_anew_after_its_time() -> None:
    times = [100.0, 100.5, 100.9, 101.0, 101.2, 101.99, 102.1]
    limits = Limits(clock=iter(times).__next__)
    limits.set([Limit(requests=2, seconds=1)])
    seen = []
    for _ in times:
        verdict = limits.ask(Asked("GET", "/api/v1/events", []), "organization")
        assert verdict is not None
        seen.append((verdict.allowed, verdict.headers["X-RateLimit-Reset"]))
    assert seen == [(True, "1"), (True, "1"), (False, "1"), (True, "1"), (True, "1"), (False, "1"), (True, "1")]


@pytest.mark.parametrize("limit", [{}, {"requests": 0}, {"requests": 1, "seconds": 0}, {"requests": 1, "second": 1}])
def test_a_limit_that_makes_no_sense_is_refused(lago: Sandbox, limit: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="error"):
        lago.limits(limit)


def test_a_reset_ends_all_limits(lago: Sandbox, api: Api) -> None:
    lago.limits({"requests": 1, "seconds": 60})
    lago.reset()
    assert [api.get("events").status_code for _ in range(2)] == [200, 200]
