"""The way to Lago: certificates are verified, the usual settings of httpx hold, the key goes nowhere else."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from reconciler.lago.answers import Away
from reconciler.settings.load import load_settings
from tests.lago.conftest import Connect
from tests.process import run

ANSWER = b'{"status":403,"error":"Forbidden","code":"endpoint_not_available"}'


class Seen(BaseHTTPRequestHandler):
    """A server that remembers what it was asked, and answers as Lago with its Postgres store."""

    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        self.send_response(403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


class Server:
    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        handler = type("Handler", (Seen,), {"seen": self.seen})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if context:
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.http.server_port}"

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def plain() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate of an authority that nobody knows."""
    return tmp_path / "ca.pem"


@pytest.fixture
def secure(authority: Path) -> Iterator[Server]:
    """A server with a certificate by that authority."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(authority))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    server = Server(context)
    yield server
    server.stop()


def test_a_certificate_of_an_unknown_authority_is_refused(secure: Server, connect: Connect) -> None:
    answer = connect(f"https://{secure.address}").post(["r1_a"], "{}")
    assert isinstance(answer, Away)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.said
    assert secure.seen == []


def test_an_authority_of_the_operators_own_is_named_as_usual(
    secure: Server, authority: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert connect(f"https://{secure.address}").store() == "postgres"


def test_a_proxy_is_named_as_usual(plain: Server, monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{plain.address}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert connect("http://lago.example").store() == "postgres"
    assert [path for path, _ in plain.seen] == ["http://lago.example/api/v1/events_enriched?per_page=1"]


def test_it_says_who_it_is(plain: Server, connect: Connect) -> None:
    connect(f"http://{plain.address}").store()
    [(_, headers)] = plain.seen
    products = dict(part.split("/") for part in headers["User-Agent"].split())
    assert list(products) == ["reconciler", "httpx", "Python"]
    assert all(products.values())
    assert headers["Authorization"] == "Bearer key"


FIVE = {
    "DATABASE_URL": "postgresql://reconciler@127.0.0.1:1/none",
    "LAGO_API_KEY": "secret-key",
    "LAGO_API_EVENT_CODE": "llm",
}


@pytest.mark.parametrize(
    ("base", "warned"),
    [
        ("http://lago-api:3000", True),
        ("http://10.0.0.7", True),
        ("http://localhost:3000", False),
        ("http://127.0.0.1:3000", False),
        ("http://[::1]:3000", False),
        ("https://lago.example.com", False),
    ],
)
def test_plain_http_to_another_machine_warns(base: str, warned: bool) -> None:
    settings = load_settings(environ=FIVE | {"LAGO_API_BASE": base})
    assert bool(list(settings.warnings)) == warned


@pytest.mark.parametrize(
    ("window", "warned"),
    [("1m", False), ("5m", False), ("15m", False), ("10m", True), ("30m", True), ("1h", True), ("1d", True)],
)
def test_windows_across_the_midnight_of_a_time_zone_warn(window: str, warned: bool) -> None:
    settings = load_settings(environ=FIVE | {"LAGO_API_BASE": "https://lago", "RECONCILE_WINDOW": window})
    said = [sentence for sentence in settings.warnings if "Asia/Kolkata" in sentence]
    assert len(said) == warned
    assert all(f"is {window}" in sentence for sentence in said)


def test_the_warning_is_shown_and_keeps_nothing_from_being_done() -> None:
    shown = run(FIVE | {"LAGO_API_BASE": "http://lago-api:3000"})
    first, *rest = shown.stderr.splitlines()
    assert first.startswith("reconcile: warning: LAGO_API_BASE (http://lago-api:3000) is plain http")
    assert "DATABASE_URL" in rest[0]
    assert "secret-key" not in shown.stderr
