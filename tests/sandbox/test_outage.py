"""Connections refused, for a while or until told."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from reconciler.sandbox import Sandbox
from reconciler.sandbox.trouble.listener import Listener
from tests.sandbox.conftest import Api, event


def test_connections_are_refused_until_told(lago: Sandbox, api: Api) -> None:
    assert api.send(event()).status_code == 200
    lago.refuse()
    for _ in range(3):
        with pytest.raises(httpx.ConnectError):
            api.get("events")
    lago.accept()
    assert api.ids() == ["txn"]


def test_an_outage_ends_by_itself(lago: Sandbox, api: Api) -> None:
    answer = httpx.post(f"{lago.url}/sandbox/outage", json={"seconds": 0.2}, trust_env=False)
    assert answer.json() == {"seconds": 0.2}
    refused = 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert api.ids() == []
            break
        except httpx.TransportError:
            refused += 1
            time.sleep(0.02)
    assert refused > 2
    assert api.send(event()).status_code == 200


def test_an_outage_has_begun_when_its_request_is_answered(lago: Sandbox, api: Api) -> None:
    for _ in range(50):
        httpx.post(f"{lago.url}/sandbox/outage", json={"seconds": 60}, trust_env=False).raise_for_status()
        with pytest.raises(httpx.ConnectError):
            api.get("events")
        lago.accept()
        assert api.ids() == []


@pytest.mark.parametrize(("commit", "stored"), [(False, []), (True, ["txn"])])
def test_a_request_can_bring_the_outage(lago: Sandbox, api: Api, commit: bool, stored: list[str]) -> None:
    lago.faults({"kind": "refuse", "seconds": 60, "commit": commit})
    with pytest.raises(httpx.RemoteProtocolError):
        api.send(event())
    with pytest.raises(httpx.ConnectError):
        api.send(event())
    lago.accept()
    assert api.ids() == stored


def test_open_connections_are_cut_also_those_that_wait_for_an_answer(lago: Sandbox, api: Api) -> None:
    lago.faults({"kind": "hang", "seconds": 60, "method": "POST"})
    with Api(lago) as other, ThreadPoolExecutor() as pool:
        other.get("events")  # its connection stays open
        waiting = pool.submit(api.send, event())
        while lago.pending_faults():
            time.sleep(0.01)
        lago.refuse()
        with pytest.raises(httpx.RemoteProtocolError):
            waiting.result()
        with pytest.raises(httpx.ConnectError):
            other.get("events")
    lago.accept()


def test_a_connection_accepted_just_before_is_cut_as_well(lago: Sandbox) -> None:
    client = socket.socket()
    client.settimeout(10)

    async def refuse_just_after_accepting(listener: Listener) -> None:
        client.connect(("127.0.0.1", httpx.URL(lago.url).port))
        await asyncio.sleep(0)  # the loop accepts it next, and begins with it after the task below
        await asyncio.create_task(listener.refuse())

    with client:
        lago._in_loop(refuse_just_after_accepting)
        lago.accept()
        assert client.recv(1) == b""


def test_a_later_outage_replaces_the_one_before(lago: Sandbox, api: Api) -> None:
    lago.refuse(60)
    lago.refuse(0.05)
    time.sleep(0.2)
    assert api.get("events").status_code == 200


@pytest.mark.parametrize("outage", [{}, {"seconds": -1}, {"seconds": "long"}, {"second": 1}])
def test_an_outage_that_would_not_end_is_refused(lago: Sandbox, outage: dict[str, object]) -> None:
    answer = httpx.post(f"{lago.url}/sandbox/outage", json=outage, trust_env=False)
    assert answer.status_code == 400
    assert lago.requests() == []


def test_it_can_be_stopped_and_started_while_it_refuses() -> None:
    lago = Sandbox()
    with lago:
        url = lago.url
        lago.refuse(60)
    with lago:
        assert lago.url == url
        assert lago.events() == []
