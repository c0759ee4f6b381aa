"""What Lago is asked about itself, its subscriptions and invoices, and what each kind of answer means."""

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.lago.organization import Organization
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.model.errors import EndedError, LagoAwayError, LagoError
from reconciler.sandbox import Sandbox
from tests.lago.conftest import QUICK, Connect, Serve, reply

LONG_AGO, NOW = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def write(lago: Sandbox, path: str, **body: Any) -> None:
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    httpx.post(f"{lago.url}/api/v1/{path}", headers=headers, json=body).raise_for_status()


@pytest.fixture
def billed(lago: Sandbox) -> Sandbox:
    """A Lago with a month that was invoiced for subscription `a.b`, which then ended."""
    lago.set_clock(LONG_AGO)
    plan = {"interval": "monthly", "amount_cents": 100, "amount_currency": "USD", "pay_in_advance": False}
    write(lago, "plans", plan={"name": "P", "code": "p", **plan})
    write(lago, "subscriptions", subscription={"external_customer_id": "acme", "plan_code": "p", "external_id": "a.b"})
    lago.set_clock(NOW)
    lago.bill()
    return lago


def test_the_organization_tells_its_id_and_store(client: Lago) -> None:
    organization = client.organization()
    assert organization
    assert organization == Organization(organization.id, "postgres")


def test_a_new_lago_tells_its_store(serve: Serve, connect: Connect) -> None:
    body = json.dumps({"organization": {"lago_id": "1a", "timezone": "UTC", "events_store": "clickhouse"}})
    assert connect(serve(reply(body))).organization() == Organization("1a", "clickhouse")


def test_a_store_that_is_told_is_not_asked_for(lago: Sandbox, client: Lago) -> None:
    assert client.store(client.organization()) == "postgres"
    assert [request["path"] for request in lago.requests()] == ["/api/v1/organizations"]
    assert client.store() == "postgres"
    assert lago.requests()[-1]["path"].startswith("/api/v1/events_enriched")


UNTOLD = {
    "an old Lago": (404, {"status": 404, "error": "Not Found", "code": "resource_not_found"}),
    "a key without the permission": (403, {"status": 403, "code": "read_action_not_allowed_for_organization"}),
}


@pytest.mark.parametrize(("status", "body"), UNTOLD.values(), ids=UNTOLD)
def test_an_organization_that_is_not_told_is_none(status: int, body: object, serve: Serve, connect: Connect) -> None:
    assert connect(serve(reply(json.dumps(body), f"{status} X"))).organization() is None


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_page_in_place_of_an_organization_is_not_lagos(status: int, serve: Serve, connect: Connect) -> None:
    page = reply("<html>", f"{status} X", content_type="text/html")
    with pytest.raises(LagoError, match=f"can't be used: it answers {status} with text/html that is not Lago's"):
        connect(serve(page)).organization()


def test_a_subscription_is_found_by_its_name(billed: Sandbox, client: Lago) -> None:
    found = client.subscription("a.b")
    assert found
    assert found["external_id"] == "a.b"
    assert client.subscription("a.b", terminated=True) is None
    assert client.subscription("other") is None
    assert [one["external_id"] for page in client.subscriptions() for one in page] == ["a.b"]


def test_what_was_billed_is_found(billed: Sandbox, client: Lago) -> None:
    [period] = client.past_usage("acme", "a.b")
    invoice = client.invoice(period["lago_invoice_id"])
    assert invoice
    assert [one["lago_id"] for one in client.newest_invoices()] == [invoice["lago_id"]]
    assert client.invoice("none") is None
    assert client.past_usage("acme", "other") == client.past_usage("other", "a.b") == []


OTHER = json.dumps({"subscription": {"external_id": "acme"}})
STRANGE = {
    "another subscription": reply(OTHER),
    "a listing": reply('{"subscriptions":[],"meta":{}}'),
    "a list": reply("[]"),
    "events": reply('{"events":[]}'),
    "a page": reply("<html>", content_type="text/html"),
    "a bad request": reply("", "400 Bad Request"),
    "a firewall's page": reply("", "403 Forbidden"),
    "a page for no such path": reply("", "404 Not Found"),
    "another path": reply('{"status":404,"code":"resource_not_found"}', "404 Not Found"),
    "another method": reply("", "405 Method Not Allowed"),
    "too long": reply("", "414 URI Too Long"),
    "a way to another path": reply("", "301 Moved", location="/api/v1/events"),
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_an_answer_about_something_else_concerns_that_name_alone(answer: bytes, serve: Serve, connect: Connect) -> None:
    with pytest.raises(CantBeAskedError, match=r"can't be asked for subscription '../events'"):
        connect(serve(answer)).subscription("../events")


@pytest.mark.parametrize("name", ["x" * 3000, "ü" * 1500])
def test_a_name_that_is_too_long_is_not_asked_for(name: str, lago: Sandbox, client: Lago) -> None:
    """Lago's index holds none of that length, so that nothing has it."""
    assert client.subscription(name) is None
    assert client.past_usage("acme", name) == []
    assert lago.requests() == []


@pytest.mark.parametrize("name", [".", "..", "../events", "a/../b", "%2e", "a b?c#d"])
def test_no_name_is_a_way_up_the_path(name: str, lago: Sandbox, client: Lago) -> None:
    assert client.subscription(name) is None
    [request] = lago.requests()
    assert not {".", "..", "events"} & set(request["path"].removeprefix("/api/v1/subscriptions/").split("/"))


def test_a_missing_permission_names_its_resource(lago: Sandbox, client: Lago) -> None:
    lago.permissions(subscription=["write"])
    with pytest.raises(NotPermittedError, match="LAGO_API_KEY may not read subscriptions") as caught:
        client.subscription("acme")
    assert caught.value.resource == "subscription"
    assert client.event("none") is None


def test_a_wrong_key_is_told(lago: Sandbox, connect: Connect) -> None:
    with pytest.raises(LagoError, match="LAGO_API_KEY is not a key of this organization"):
        connect(lago.url, "wrong").subscription("acme")


def meta(total: int, following: object) -> dict[str, object]:
    return {"total_pages": total, "next_page": following}


ENDLESS: dict[str, tuple[list[object], dict[str, object]]] = {
    "the same page": ([{}], meta(2, 1)),
    "a page that is skipped": ([{}], meta(9, 3)),
    "more pages than there are": ([{}], meta(1, 2)),
    "an empty page": ([], meta(9, 2)),
    "a page that is no number": ([{}], meta(9, "2")),
    "an absurd page": ([{}], {"total_pages": 9, "next_page": 1e300}),
}


@pytest.mark.parametrize(("events", "pages"), ENDLESS.values(), ids=ENDLESS)
def test_a_listing_without_an_end_is_an_error(events: object, pages: object, serve: Serve, connect: Connect) -> None:
    lago = connect(serve(reply(json.dumps({"events": events, "meta": pages}))))
    with pytest.raises(LagoError, match="page 1 of its events"):
        list(lago.events("llm", LONG_AGO, NOW))


def test_a_listing_that_grows_as_it_is_read_is_an_error(serve: Serve, connect: Connect) -> None:
    numbers = iter(range(1, 1000))

    def talk(connection: socket.socket) -> None:
        page = next(numbers)
        connection.sendall(reply(json.dumps({"events": [{}], "meta": meta(page + 1, page + 1)})))

    with pytest.raises(LagoError, match="more than 102 pages"):
        list(connect(serve(talk)).events("llm", LONG_AGO, NOW))


def test_an_event_with_a_number_of_absurd_size_is_read(serve: Serve, connect: Connect) -> None:
    events = '[{"properties":{"revision":1e99999999,"cost":-0.5e-99999,"requests":' + "9" * 5000 + "}}]"
    lago = connect(serve(reply(f'{{"events":{events},"meta":{{"total_pages":1,"next_page":null}}}}')))
    [event] = next(lago.events("llm", LONG_AGO, NOW)).things
    assert event["properties"]["revision"] == "1e99999999"
    assert event["properties"]["requests"] == "9" * 5000


def test_a_passing_failure_is_asked_again(lago: Sandbox, client: Lago) -> None:
    lago.faults({"kind": "status", "status": 500}, {"kind": "drop"}, {"kind": "status", "status": 429})
    assert client.event("none") is None
    lago.faults({"kind": "status", "status": 500, "count": None})
    with pytest.raises(LagoAwayError, match="it answers 500"):
        client.event("none")


def test_a_429_that_never_ends_pins_a_question_no_longer_than_the_pass(lago: Sandbox, connect: Connect) -> None:
    lago.faults({"kind": "status", "status": 429, "headers": {"Retry-After": "60"}, "count": None})
    ending = Ending()
    ending.begin(0.5)
    client = connect(lago.url, lago.api_key, ending=ending)
    with pytest.raises(EndedError):
        client.event("none")
    client.wait()
    assert ending.has_come


def test_a_429_to_a_batch_keeps_no_question_waiting(
    lago: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr(Ending, "sleep", lambda _, seconds: sleeps.append(seconds))
    lago.faults({"kind": "status", "status": 429, "headers": {"Retry-After": "60"}, "method": "POST"})
    client = connect(lago.url, lago.api_key, limits=replace(QUICK, request=5))
    client.post(["r1_a"], "{}")
    assert client.event("none") is None
    assert sleeps == []
