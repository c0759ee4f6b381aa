"""The API key never comes back: it is blotted out of whatever a server says, however it is quoted."""

import html
import json
import socket
from urllib.parse import quote

import pytest

from reconciler.lago.answers import Named, Unknown
from reconciler.model.errors import LagoError
from tests.lago.conftest import Connect, Serve, reply

PLAIN = "3b1f2e60-7c39-4d09-9f3e-0a5c8f6f2d11"
ODD = r'sk-"1/2\3<4>&5%6+7' + "'8"


def fault(text: str) -> str:
    """Lago's JSON around a text that is JSON already."""
    return f'{{"status":422,"code":"validation_errors","error_details":{{"0":"for \'Bearer {text}\'"}}}}'


WRITTEN = {
    "in JSON": json.dumps(ODD)[1:-1],
    "in JSON with slashes escaped": json.dumps(ODD)[1:-1].replace("/", r"\/"),
    "in JSON as Rails writes it": "".join(f"\\u{ord(c):04x}" if c in "<>&" else c for c in json.dumps(ODD)[1:-1]),
    "in an address": quote(ODD, safe=""),
    "in an address with small digits": quote(ODD).replace("%3C", "%3c"),
    "in HTML": html.escape(ODD).replace("\\", "\\\\"),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_key_that_is_quoted_in_an_answer(written: str, serve: Serve, connect: Connect) -> None:
    answer = connect(serve(reply(fault(written), "422 X")), ODD).post(["r1_a"], "{}")
    assert answer == Named({0: "for 'Bearer …'"})


def test_a_plain_key_that_is_quoted_in_an_answer(serve: Serve, connect: Connect) -> None:
    answer = connect(serve(reply(fault(PLAIN), "422 X")), PLAIN).post(["r1_a"], "{}")
    assert answer == Named({0: "for 'Bearer …'"})


def test_a_key_that_is_quoted_in_a_header(serve: Serve, connect: Connect) -> None:
    moved = reply("", "301 Moved", location=f"https://lago.example/?key={quote(ODD)}")
    answer = connect(serve(moved), ODD).post(["r1_a"], "{}")
    assert isinstance(answer, Unknown)
    assert "https://lago.example/?key=…," in answer.said


def test_a_key_that_is_quoted_in_place_of_a_status_line(serve: Serve, connect: Connect) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(f"Bearer {PLAIN}?\r\n\r\n".encode())

    lago = connect(serve(talk), PLAIN)
    answer = lago.post(["r1_a"], "{}")
    assert isinstance(answer, Unknown)
    assert PLAIN not in repr(answer)
    assert "…" in answer.said
    with pytest.raises(LagoError) as caught:
        lago.event("r1_a")
    assert PLAIN not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_that_is_quoted_in_an_answer_to_a_question(serve: Serve, connect: Connect) -> None:
    said = json.dumps({"status": 422, "error": f"no {PLAIN}"})
    with pytest.raises(LagoError, match="422 no …"):
        connect(serve(reply(said, "422 X")), PLAIN).metric("llm")
