"""The benchmark's responder: by its count the benchmark says that nothing was sent twice, and what a limit refused."""

import httpx

from bench.responder import Responder


def test_it_counts_what_came_twice_and_what_was_over_the_limit() -> None:
    with Responder(latency=0, limit=3) as responder, httpx.Client(base_url=responder.url) as client:

        def post(*ids: str) -> httpx.Response:
            said = {"external_subscription_id": "acme", "code": "openai_tokens", "properties": {}}
            return client.post(
                "/api/v1/events/batch", json={"events": [{"transaction_id": id_, **said} for id_ in ids]}
            )

        answers = [post("a", "b"), post("b", "c"), post("d"), post("a", "d")]
        heard = responder.heard()
        responder.forget()
        after = responder.heard()

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert [event["transaction_id"] for event in answers[1].json()["events"]] == ["b", "c"]
    assert (heard.requests, heard.refused, heard.events, heard.twice) == (4, 1, 5, 1)
    assert heard.seconds > 0
    assert (after.requests, after.events) == (0, 0)
