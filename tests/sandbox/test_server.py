import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import Api, event

DAY = 86_400

PROGRAM = """
import sys
from reconciler.sandbox import serve
serve(path=sys.argv[1], on_ready=lambda url: print(url, flush=True))
"""


def test_after_an_outage_it_is_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "lago.sqlite") as lago, Api(lago).client as client:
        url = lago.url
        assert client.post("events", json={"event": event()}).status_code == 200
        lago.stop()
        with pytest.raises(httpx.ConnectError):
            client.get("events")
        lago.start()
        assert lago.url == url
        assert client.post("events", json={"event": event()}).status_code == 422


def test_another_process_finds_what_was_answered_before_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "lago.sqlite"
    command = [sys.executable, "-c", PROGRAM, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        headers = {"Authorization": "Bearer sandbox-api-key"}
        answer = httpx.post(f"{url}/api/v1/events", json={"event": event()}, headers=headers, trust_env=False)
        assert answer.status_code == 200
        os.kill(process.pid, signal.SIGKILL)
    with Sandbox(path) as lago:
        assert [one["transaction_id"] for one in lago.events()] == ["txn"]


def test_it_stops_at_once_though_a_request_hangs() -> None:
    with Sandbox() as lago, Api(lago).client as client:
        lago.faults({"kind": "hang", "seconds": DAY}, {"kind": "slow", "seconds": DAY})
        errors: list[Exception] = []

        def ask() -> None:
            try:
                client.get("events")
            except httpx.TransportError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        while lago.pending_faults():
            time.sleep(0.01)
        stopping = threading.Thread(target=lago.stop, daemon=True)
        stopping.start()
        stopping.join(60)
        assert not stopping.is_alive()
        for thread in threads:
            thread.join()


def test_what_it_can_not_cope_with_is_a_500_and_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = api.post("customers", {"customer": {"external_id": "acme", "metadata": ["no object"]}})
    assert (response.status_code, response.json()) == (500, {"status": 500, "error": "Internal Server Error"})
    assert "the sandbox failed on POST /api/v1/customers" in caplog.text


def test_half_a_request_of_a_client_that_died_has_no_effect_and_is_no_failure(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    address = httpx.URL(api.lago.url)
    head = (
        b"POST /api/v1/events HTTP/1.1\r\nHost: lago\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port or 80)) as connection:
        connection.sendall(head + b'{"event":')
        time.sleep(0.1)  # until the server reads the body
    assert api.get("events").status_code == 200
    time.sleep(0.1)
    assert api.lago.events() == []
    assert caplog.text == ""


def test_it_can_be_had_on_a_port_of_choice() -> None:
    with Sandbox() as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=port).start()
    with Sandbox(port=port) as second:
        assert second.url == first.url
