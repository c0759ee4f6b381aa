"""Worlds of the field (facts: field H7 and H9), told step by step."""

import contextlib
from datetime import timedelta
from random import Random
from typing import Any, cast

import pytest

from reconciler.delivery import sender
from reconciler.delivery.sender import Sender
from reconciler.model.errors import LagoError
from reconciler.settings.limits import Limits
from tests.worlds.lago import Client, Server
from tests.worlds.ledger import Event, MemoryOutbox
from tests.worlds.stage import Stage, moment
from tests.worlds.weather import Outage, Weather
from tests.worlds.world import Ending

HOURS = 3600.0


class Told:
    """A ledger, a Postgres-store Lago and passes, with weather that the test says."""

    def __init__(self, *outages: Outage) -> None:
        random = Random(1)
        self.stage = Stage(random)
        weather = Weather(random, list(outages), rate=0, calm_at=1e9)
        self.server = Server(self.stage, weather, random, refuses_repetitions=True)
        self.outbox = MemoryOutbox(lambda: self.stage.now, Limits())
        self._events = 0

    def plan(self) -> str:
        """One event."""
        self._events += 1
        id_ = f"r1_{self._events}"
        stamp = int(moment(0).timestamp())
        payload = f'{{"transaction_id":"{id_}","code":"tokens","timestamp":"{stamp}.999","properties":{{}}}}'
        self.outbox.plan([Event(moment(self._events), id_, 0, id_, payload)])
        return id_

    def run(self, passes: int = 1, *, usage: bool = False) -> None:
        """Passes two minutes apart, with new usage for each or none."""
        for _ in range(passes):
            if usage:
                self.plan()
            ending = Ending(self.stage, self.stage.now + 60)
            nothing: Any = lambda *_: None  # noqa: E731
            client = Client(
                self.server, self.stage, ending, mishap=nothing, sending=nothing, told=nothing, answered=nothing
            )
            one = Sender(
                cast("Any", self.outbox),
                cast("Any", client),
                repeatable=True,
                fresh_since=moment(0),
                ending=cast("Any", ending),
                progress=nothing,
            )
            with contextlib.suppress(LagoError):
                one.run()
            self.stage.now += timedelta(minutes=2).total_seconds()

    def state(self, id_: str) -> str:
        """The state of an event's batch."""
        return next(row.state for row in self.outbox.rows.values() if row.events[0].id == id_)


class _Quiet:
    def info(self, *_words: object, **_more: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "log", _Quiet())


@pytest.mark.parametrize("answer", ["500", "400", "odd 422", "502", "504", "timeout"])
def test_poison_that_is_the_last_thing_left_rests_and_is_found_once_there_is_new_usage(answer: str) -> None:
    told = Told()
    told.run(3, usage=True)
    poison = told.plan()
    told.server.poison[poison] = answer
    told.run(100)
    assert told.state(poison) == "planned"
    told.run(200, usage=True)
    assert told.state(poison) == "quarantined"
    assert {row.state for row in told.outbox.rows.values() if row.events[0].id != poison} == {"accepted"}


@pytest.mark.parametrize("fault", ["400", "500", "502", "timeout"])
def test_a_healthy_event_that_failed_alone_in_an_outage_survives_one_more_failure_after_it(fault: str) -> None:
    told = Told(Outage(300, 5 * HOURS, fault), Outage(5 * HOURS, 5 * HOURS + 130, "500", 1, ""))
    told.run(2, usage=True)
    healthy = told.plan()
    while told.stage.now < 5 * HOURS:
        told.run()
    told.run(2, usage=True)
    assert told.state(healthy) in {"planned", "accepted"}
    told.run(5, usage=True)
    assert told.state(healthy) == "accepted"
