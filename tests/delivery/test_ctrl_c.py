"""Ctrl-C: a pass ends after what is on the wire, without a traceback, and the next one makes the bill exact."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import cast

import pytest

from reconciler.delivery.sender import Sender, send_all
from reconciler.lago.ending import Ending
from reconciler.model.errors import LagoAwayError
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.crash.runner import Reconcile
from tests.support import (
    BATCH,
    QUICK,
    assert_exact,
    batches,
    customers,
    environment,
    let_minutes_pass,
    reconcile,
    states,
)

STOPPED = "reconcile: stopped; nothing is lost, run again.\n"


def wait_until_hit(lago: Sandbox, faults: int) -> None:
    """Wait until a request has met one of so many faults."""
    deadline = time.monotonic() + 60
    while len(lago.pending_faults()) == faults:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.proof
def test_a_pass_that_waits_for_a_slow_lago_ends_with_the_answers_to_what_it_sent(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 700)
    slow = {"kind": "slow", "seconds": 0.7, "path": BATCH}
    lago.faults(slow, {**slow, "count": None})
    with Reconcile(environ, "--since", "2h") as one:
        wait_until_hit(lago, 2)
        one.interrupt()
        assert one.wait() == 130
        assert one.err == STOPPED

    assert 1 <= len(batches(lago)) <= 4, "one for each sender, of 7"
    assert states(proxy_db)["accepted"] == len(lago.events()), "what was answered is recorded"
    lago.clear_faults()
    assert reconcile(environ).exit_code == 0, "what was not sent is free at once"
    assert_exact(proxy_db, lago)
    assert {len(ids) for ids in batches(lago)} == {100}, "nothing went twice"
    assert len(batches(lago)) == 7


def test_ctrl_c_while_the_senders_start_ends_those_that_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    ending, ended = Ending(), []

    class Begun:
        def run(self) -> None:
            until = time.monotonic() + 20
            while not ending.has_come and time.monotonic() < until:
                time.sleep(0.01)
            ended.append(ending.has_come)

    def start(pool: ThreadPoolExecutor, work: Callable[[], None]) -> Future[None]:
        submit(pool, work)
        raise KeyboardInterrupt

    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", start)
    ending.begin(60)
    waiting = cast("list[Sender]", [Begun(), Begun()])
    with pytest.raises(KeyboardInterrupt):
        send_all(waiting, ending)
    assert ended == [True], "its time was cut, it did not send all there is"


@pytest.mark.proof
def test_a_pass_whose_lago_hangs_ends_within_a_request_s_deadline(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    customers(proxy_db, 500)
    hang = {"kind": "hang", "seconds": 60, "path": BATCH}
    lago.faults(hang, {**hang, "count": None})
    with Reconcile(environ, "--since", "2h", limits=replace(QUICK, request=4.0)) as one:
        wait_until_hit(lago, 2)
        one.interrupt()
        assert one.wait() == 130
        assert "Traceback" not in one.err
        assert one.err.endswith(STOPPED)
    lago.clear_faults()
    let_minutes_pass(proxy_db)
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_what_was_on_the_wire_counts_as_perhaps_sent_and_is_read_back(proxy_db: Database, clickhouse: Sandbox) -> None:
    """After an outage one batch goes first, and is interrupted when Lago has it and its answer is not read."""
    environ = environment(proxy_db, clickhouse)
    customers(proxy_db, 3)
    clickhouse.refuse()
    with pytest.raises(LagoAwayError):
        reconcile(environ, since="2h")
    clickhouse.accept()
    let_minutes_pass(proxy_db)

    with Reconcile(environ, stop_near=f"answer POST {BATCH}") as one:
        assert one.stopped()
        one.interrupt()
        one.go_on()
        assert one.wait() == 130
        assert one.err == STOPPED

    assert reconcile(environ).delivered.accepted == 0, "it waits until what was sent can be seen"
    let_minutes_pass(proxy_db)
    assert reconcile(environ).delivered.accepted == 3
    assert len(batches(clickhouse)) == 1
    assert_exact(proxy_db, clickhouse)
