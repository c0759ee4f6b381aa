"""LiteLLM's real callback under faults, cut over: what Lago holds in the end is what the spend table says."""

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model.windows import utc_text
from reconciler.sandbox import Sandbox
from tests.clients.conftest import Callback, litellm, litellm_process
from tests.conftest import Database, spend_row
from tests.cutover.conftest import EDGE, all_of_it, cut_over, found
from tests.support import environment, reconcile
from tests.verify.conftest import post

__all__ = ["litellm", "litellm_process"]

pytestmark = pytest.mark.proof(20)

CHAT: dict[str, Any] = {
    "model": "openai/gpt-4o-mini",
    "messages": [{"role": "user", "content": "hi"}],
    "mock_response": "hello",
}
ANSWERS = [CHAT, CHAT | {"stream": True}, CHAT | {"model": "openai/gpt-4o"}]
TEXT = {"model": "openai/gpt-3.5-turbo-instruct", "prompt": "hi", "mock_response": "x"}
CALLS: list[tuple[str, dict[str, Any], dict[str, Any] | None, bool]] = [
    # of litellm, what goes wrong, and whether the callback names a customer
    *(("acompletion", each, None, True) for each in ANSWERS),
    ("atext_completion", TEXT, None, True),
    ("acompletion", CHAT, {"kind": "status", "status": 500}, True),
    ("acompletion", CHAT, {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0"}}, True),
    ("acompletion", CHAT, {"kind": "commit_then_500"}, True),
    ("acompletion", CHAT, {"kind": "commit_then_drop"}, True),
    ("acompletion", CHAT, None, False),
    ("acompletion", CHAT | {"model": "openai/gpt-4o"}, {"kind": "drop"}, True),
]
LOST = 4
"""So many of them the callback bills nowhere."""


def used(event: Mapping[str, Any] | None, *, function: str, model: str) -> dict[str, Any]:
    """What the proxy writes of a request: as the callback's event has it, or as one like it had it."""
    said = event["properties"] if event else {}
    return {
        "call_type": function,
        "model": model,
        "model_group": model.partition("/")[2],
        "spend": float(str(said.get("response_cost", 1.35e-05 if "mini" in model else 0.000225))),
        "prompt_tokens": said.get("prompt_tokens", 10),
        "completion_tokens": said.get("completion_tokens", 20),
    }


def test_the_real_callback_under_faults_and_a_cut_over_bill_everything_once(
    litellm: Callback, proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    reconcile(environ)
    lago.set_clock(begin := EDGE - timedelta(minutes=5))
    behind = datetime.now(UTC) - begin
    for customer in ("acme", "globex"):
        for function, arguments, fault, named in CALLS:
            before = {event["transaction_id"] for event in lago.events()}
            if fault:
                lago.faults(fault)
            body = {"user": customer} if named else {}
            began = datetime.now(UTC) - behind
            litellm(function, **arguments, proxy_server_request={"body": body})
            ended = datetime.now(UTC) - behind
            wait_for_stream(lago, before, arguments)
            lago.clear_faults()
            new = [event for event in lago.events() if event["transaction_id"] not in before]
            row = used(new[0] if new else None, function=function, model=arguments["model"])
            times = {"startTime": began, "endTime": ended.replace(tzinfo=None)}
            proxy_db.insert(spend_row(end_user=customer, **times, **row))
    # A gateway has repeated one; a crash of the proxy has lost the row of another.
    [once] = [event for event in lago.events() if event["external_subscription_id"] == "globex" and is_text(event)]
    again = {name: once[name] for name in ("external_subscription_id", "code", "properties")}
    lago_took(lago, again)
    lago_took(lago, again | {"external_subscription_id": "initech"})
    doubled = Decimal(str(once["properties"]["response_cost"]))

    lago.reset_clock()
    seen = found(cut_over(environ))
    assert {kind: number for kind, (number, _) in seen.items()} == {
        "taken over": 2 * (len(CALLS) - LOST), "missed": 2 * LOST, "twice": 1, "no row": 1,
    }  # fmt: skip
    reconcile(environ, since=utc_text(EDGE - timedelta(hours=2)))
    [(rows,)] = proxy_db.fetch("""SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs" """)
    assert all_of_it(lago) == rows + 2 * doubled
    assert seen["taken over"][1] + seen["missed"][1] == rows


def is_text(event: Mapping[str, Any]) -> bool:
    """Whether it is of a text completion, of which there is one a customer: no lost row says the same."""
    return bool(event["properties"]["model"] == "gpt-3.5-turbo-instruct")


def wait_for_stream(lago: Sandbox, before: set[str], arguments: Mapping[str, Any]) -> None:
    """After a stream LiteLLM logs from another thread."""
    deadline = time.monotonic() + 30
    while arguments.get("stream") and time.monotonic() < deadline:
        if {event["transaction_id"] for event in lago.events()} - before:
            return
        time.sleep(0.01)


def lago_took(lago: Sandbox, event: Mapping[str, Any]) -> None:
    """Another event of the callback's, with another random id."""
    post(lago, "events", {"event": {**event, "transaction_id": str(uuid.uuid4())}})
