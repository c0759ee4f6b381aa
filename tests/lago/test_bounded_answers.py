"""Whatever a server sends, and however slowly, a request ends in time and takes bounded memory."""

import gzip
import itertools
import socket
import time
from dataclasses import replace

import pytest

from reconciler.lago.answers import Unknown
from reconciler.model.errors import LagoAwayError
from tests.lago.conftest import QUICK, Connect, Serve, Talk, reply

LIMITS = replace(QUICK, request=0.5, answer=2**20)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def dripping(start: bytes, drop: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return talk


def pouring(start: bytes, flood: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(flood)

    return talk


SLOW = {
    "nothing": dripping(b"", b""),
    "its status line": dripping(b"HTTP/1.1 2", b"0"),
    "its headers": dripping(HEAD + b"x: ", b"y"),
    "its body": dripping(HEAD + b"content-length: 1000\r\n\r\n", b" "),
    "its chunks": dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "informational answers": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "many informational answers": pouring(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
}


@pytest.mark.parametrize("talk", SLOW.values(), ids=SLOW)
def test_an_answer_that_comes_byte_by_byte_ends_with_the_time(talk: Talk, serve: Serve, connect: Connect) -> None:
    lago = connect(serve(talk), limits=LIMITS)
    assert lago.post(["r1_a"], "{}") == Unknown("no answer within 0.5 s")


def test_a_server_that_does_not_read_ends_with_the_time(serve: Serve, connect: Connect) -> None:
    def talk(connection: socket.socket) -> None:
        time.sleep(3)

    lago, payload = connect(serve(talk), limits=LIMITS), '"' + "x" * 2**24 + '"'
    assert lago.post(["r1_a"], payload) == Unknown("no answer within 0.5 s")


ENDLESS = {
    "body": pouring(HEAD + b"\r\n", b" " * 2**16),
    "chunks": pouring(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 2**16 + b"\r\n"),
}


@pytest.mark.parametrize("talk", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_body_is_not_read_to_its_end(talk: Talk, serve: Serve, connect: Connect) -> None:
    lago = connect(serve(talk), limits=LIMITS)
    assert lago.post(["r1_a"], "{}") == Unknown("it answers with more than 1 MB")
    with pytest.raises(LagoAwayError, match="more than 1 MB"):
        lago.event("r1_a")


@pytest.mark.parametrize("before", [b"", HEAD + b"x: "])
def test_endless_headers_are_not_read_to_their_end(before: bytes, serve: Serve, connect: Connect) -> None:
    answer = connect(serve(pouring(before, b"x" * 2**16)), limits=LIMITS).post(["r1_a"], "{}")
    assert isinstance(answer, Unknown)
    assert not answer.lagos


def test_a_bomb_is_not_unpacked(serve: Serve, connect: Connect) -> None:
    bomb = reply(gzip.compress(b" " * 2**24), content_encoding="gzip")
    answer = connect(serve(bomb), limits=LIMITS).post(["r1_a"], "{}")
    assert isinstance(answer, Unknown)
    assert "not Lago's answer" in answer.said


def test_the_time_holds_for_connections_that_are_used_again(serve: Serve, connect: Connect) -> None:
    answers = itertools.chain([b'{"billable_metric":{"code":"llm"}}'])

    def talk(connection: socket.socket) -> None:
        for body in answers:
            connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
            connection.recv(2**16)
        dripping(HEAD, b"x")(connection)

    lago = connect(serve(talk), limits=LIMITS)
    assert lago.metric("llm") == {"code": "llm"}
    assert lago.post(["r1_a"], "{}") == Unknown("no answer within 0.5 s")
