"""A Lago that can't be used: one sentence that names the setting, exit 1, all events stay planned, then exact."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.failures.conftest import KEY, Fails
from tests.process import run, sentences
from tests.support import EVENTS, assert_exact, environment, let_minutes_pass, reconcile


def assert_all_planned(database: Database, lago: Sandbox) -> None:
    assert database.fetch(f"SELECT DISTINCT state FROM {EVENTS}") == [("planned",)]
    assert lago.events() == []


def test_a_wrong_key(used_db: Database, lago: Sandbox, fails: Fails) -> None:
    sentence = fails(environment(used_db, lago, LAGO_API_KEY=KEY), "--since", "1d")

    assert "401" in sentence
    assert "LAGO_API_KEY" in sentence
    assert_all_planned(used_db, lago)
    reconcile(environment(used_db, lago))
    assert_exact(used_db, lago)


def test_unreachable(used_db: Database, lago: Sandbox, fails: Fails) -> None:
    environ = environment(used_db, lago)
    lago.stop()
    sentence = fails(environ, "--since", "1d")

    assert sentence.startswith(f"Lago at LAGO_API_BASE ({lago.url}) can't be reached")
    lago.start()
    assert_all_planned(used_db, lago)
    reconcile(environment(used_db, lago))
    assert_exact(used_db, lago)


def test_a_page_of_html_with_200(used_db: Database, lago: Sandbox, fails: Fails) -> None:
    lago.faults({"kind": "html", "count": None})
    sentence = fails(environment(used_db, lago), "--since", "1d")

    assert "200 with text/html that is not Lago's answer" in sentence
    assert_all_planned(used_db, lago)
    lago.clear_faults()
    reconcile(environment(used_db, lago))
    assert_exact(used_db, lago)


@pytest.mark.proof
def test_a_page_of_html_to_events_that_were_sent(used_db: Database, lago: Sandbox, fails: Fails) -> None:
    environ = environment(used_db, lago)
    lago.faults({"kind": "html", "count": None, "method": "POST"})
    sentence = fails(environ, "--since", "1d")

    assert "200 with text/html that is not Lago's answer" in sentence
    assert_all_planned(used_db, lago)
    lago.clear_faults()
    let_minutes_pass(used_db)  # what failed rests; on a slow machine it has failed for a whole round
    reconcile(environment(used_db, lago))
    assert_exact(used_db, lago)


def test_a_redirect_is_not_followed_with_the_key(used_db: Database, lago: Sandbox, fails: Fails) -> None:
    headers = {"Location": "https://lago.example/elsewhere"}
    lago.faults({"kind": "status", "status": 301, "headers": headers, "body": "", "count": None})
    sentence = fails(environment(used_db, lago), "--since", "1d")

    assert "301" in sentence
    assert "https://lago.example/elsewhere" in sentence
    assert "LAGO_API_BASE" in sentence
    assert_all_planned(used_db, lago)
    lago.clear_faults()
    reconcile(environment(used_db, lago))
    assert_exact(used_db, lago)


@pytest.fixture
def other_server() -> Iterator[str]:
    """The address of a web server that is no Lago: it answers 404 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.proof
def test_an_address_that_is_another_server(used_db: Database, lago: Sandbox, fails: Fails, other_server: str) -> None:
    sentence = fails(environment(used_db, lago, LAGO_API_BASE=other_server), "--since", "1d")
    assert "404" in sentence
    assert f"LAGO_API_BASE ({other_server})" in sentence
    assert_all_planned(used_db, lago)

    [choices] = sentences(run(environment(used_db, lago)))
    assert "--adopt" in choices
    assert_all_planned(used_db, lago)
    reconcile(environment(used_db, lago), adopt=True)
    assert_exact(used_db, lago)
