"""A Lago in memory: its stores' rules, and what comes between it and a sender (facts: lago sections 0.1 and 2)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from json import loads
from random import Random
from typing import Any, NamedTuple, Protocol

from reconciler.lago.answers import (
    DUPLICATE,
    Accepted,
    Answer,
    Away,
    Barred,
    Named,
    Refused,
    Throttled,
    TooMany,
    Unknown,
)
from reconciler.lago.questions import Page
from reconciler.model.errors import EndedError, LagoAwayError, LagoError
from reconciler.settings.limits import Limits
from tests.worlds.stage import EPOCH, Stage
from tests.worlds.weather import Weather

TRIES = 4
INVALID = {"timestamp": ["invalid_format"]}

ANSWERS: Mapping[str, Answer] = {
    "500": Unknown("it answers 500", lagos=True),
    "502": Unknown("it answers 502"),
    "504": Unknown("it answers 504"),
    "page": Unknown("it answers 200 with text/html that is not Lago's answer"),
    "reset": Unknown("the connection broke"),
    "dropped": Unknown("the connection broke"),
    "timeout": Unknown("no answer within 20 s"),
    "400": Refused("400 BadRequest"),
    "odd 422": Refused("422 something_new"),
    "401": Barred("it answers 401"),
    "away": Away("no connection"),
    "429": Throttled(30.0),
}


class Copy(NamedTuple):
    """An event that Lago holds.

    Attributes:
        ours: whether it is the event of the ledger.
        shown_at: from when on it can be read back.
        payload: the event, as JSON; empty once it was deleted.
    """

    ours: bool
    shown_at: float
    payload: str


class Server:
    """One Lago.

    Attributes:
        copies: what it holds under each id.
        posts: how many batches it was sent.
    """

    def __init__(
        self,
        stage: Stage,
        weather: Weather,
        random: Random,
        *,
        refuses_repetitions: bool,
        lag: float = 0.0,
        late: bool = False,
        stores_rest: bool = False,
        most: int = 100,
        most_bytes: int = 10**9,
        rate: int | None = None,
    ) -> None:
        """A Lago that holds nothing.

        Args:
            stage: its clock.
            weather: what requests meet.
            random: the world's.
            refuses_repetitions: as the Postgres store does; else each copy is kept, as ClickHouse does.
            lag: how long it may take until an event can be read back.
            late: whether a request without an answer may be stored long after the sender has given up.
            stores_rest: whether, as v1.32 to v1.38, it stores what is new in a batch though it refuses the duplicates.
            most: the most events in a batch.
            most_bytes: the most bytes in a body.
            rate: the most requests in ten seconds.
        """
        self.copies: dict[str, list[Copy]] = {}
        self.poison: dict[str, str] = {}
        self.invalid: set[str] = set()
        self.posts = 0
        self.weather = weather
        self._stage = stage
        self._random = random
        self._refuses_repetitions = refuses_repetitions
        self._lag = lag
        self._late = late
        self._stores_rest = stores_rest
        self._most = most
        self._most_bytes = most_bytes
        self._rate = rate
        self._times: list[float] = []
        self._at: dict[datetime, list[Copy]] = {}

    def hold(self, id_: str, copy: Copy) -> None:
        """Hold an event."""
        self.copies.setdefault(id_, []).append(copy)
        self._at.setdefault(_moment(copy.payload), []).append(copy)

    def receive(self, ids: Sequence[str], payloads: Sequence[str]) -> Answer:
        """Answer a batch; the time that it takes goes by, and others act meanwhile."""
        self.posts += 1
        pause, random = self._stage.pause, self._random
        pause(random.uniform(0.02, 0.3))
        fault = self.weather.fault(self._stage.now, "write")
        if fault is None:
            answer = self._answer(ids, payloads)
            if answer is ANSWERS["timeout"]:
                pause(20)
            return answer
        kind, _, stored = fault.partition(", ")
        if kind == "timeout":
            arrives = random.uniform(0, 20)
            if stored and self._late and random.random() < 0.3:
                self._stage.begin(lambda: self._store_late(ids, payloads), self._stage.now + random.uniform(15, 300))
            elif stored:
                pause(arrives)
                self._answer(ids, payloads)
                pause(20 - arrives)
                return ANSWERS[kind]
            pause(20)
        elif stored and not isinstance(answer := self._answer(ids, payloads), Accepted):
            return answer if kind == "500" else ANSWERS[kind]
        return ANSWERS[kind]

    def read(self, since: datetime, until: datetime, subscription: str | None) -> list[dict[str, Any]]:
        """What it shows of a span."""
        shown = [
            _shown(copy)
            for moment, copies in self._at.items()
            if since <= moment <= until
            for copy in copies
            if copy.payload and copy.shown_at <= self._stage.now
        ]
        return [event for event in shown if subscription in {None, event["external_subscription_id"]}]

    def event(self, id_: str) -> dict[str, Any] | None:
        """What it shows under an id."""
        for copy in reversed(self.copies.get(id_, ())):
            if copy.payload and copy.shown_at <= self._stage.now:
                return _shown(copy)
        return None

    def _store_late(self, ids: Sequence[str], payloads: Sequence[str]) -> None:
        self._answer(ids, payloads)

    def _answer(self, ids: Sequence[str], payloads: Sequence[str]) -> Answer:
        if self._rate is not None:
            now = self._stage.now
            self._times = [time for time in self._times if time > now - 10]
            if len(self._times) >= self._rate:
                return Throttled(self._times[0] + 10 - now)
            self._times.append(now)
        if sum(map(len, payloads)) > self._most_bytes:
            return Refused("413")
        if len(ids) > self._most:
            return TooMany()
        if self.poison:
            for id_ in ids:
                if id_ in self.poison:
                    return ANSWERS[self.poison[id_]]
        if self.invalid and (found := {place: INVALID for place, id_ in enumerate(ids) if id_ in self.invalid}):
            return Named(found)
        if self._refuses_repetitions:
            duplicates = {place: DUPLICATE for place, id_ in enumerate(ids) if id_ in self.copies}
            if duplicates and not self._stores_rest:
                return Named(duplicates)
            self._store([pair for pair in zip(ids, payloads, strict=True) if pair[0] not in self.copies])
            return Named(duplicates) if duplicates else Accepted()
        self._store(list(zip(ids, payloads, strict=True)))
        return Accepted()

    def _store(self, events: Sequence[tuple[str, str]]) -> None:
        for id_, payload in events:
            shown_at = self._stage.now + (self._random.uniform(0, self._lag) if self._lag else 0)
            self.hold(id_, Copy(ours=True, shown_at=shown_at, payload=payload))


def _shown(copy: Copy) -> dict[str, Any]:
    event: dict[str, Any] = loads(copy.payload)
    return event | {"timestamp": _moment(copy.payload).isoformat(timespec="milliseconds")}


def _moment(payload: str) -> datetime:
    return _time(payload.partition('"timestamp":"')[2][:14])


@cache
def _time(stamp: str) -> datetime:
    if not stamp:  # of an event that was deleted
        return EPOCH
    whole, _, rest = stamp.partition(".")
    return datetime.fromtimestamp(int(whole), UTC) + timedelta(milliseconds=int(rest))


class Ends(Protocol):
    """When a pass ends."""

    @property
    def has_come(self) -> bool:
        """Whether it is time to end."""

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end."""


class Client:
    """Stands in for `reconciler.lago.client.Lago`, as senders and `Readback` use it.

    Args:
        server: the Lago.
        stage: its clock.
        ending: the pass's.
        mishap: called before and after each request; it may raise.
        sending: told of the ids of each batch just before it goes.
        answered: told of each batch's answer.
        told: called when the present sender's pass says in a sentence why its batch was not accepted.
    """

    def __init__(
        self,
        server: Server,
        stage: Stage,
        ending: Ends,
        *,
        mishap: Callable[[], None],
        sending: Callable[[Sequence[str]], None],
        told: Callable[[], None],
        answered: Callable[[Sequence[str], Answer], None],
    ) -> None:
        self.base = "https://lago"
        self._server = server
        self._stage = stage
        self._ending = ending
        self._mishap = mishap
        self._sending = sending
        self._told = told
        self._answered = answered
        self._not_before = 0.0
        self._limits = Limits()

    def wait(self) -> None:
        """Wait until the next batch may go."""
        if self._not_before > self._stage.now:
            self._ending.sleep(self._not_before - self._stage.now)

    def post(self, ids: Sequence[str], body: object) -> Answer:
        """Send a batch, as its body or as its payloads."""
        payloads = _payloads(body) if isinstance(body, str) else list(body)  # type: ignore[call-overload]
        self._mishap()
        self._sending(ids)
        answer = self._server.receive(ids, payloads)
        self._answered(ids, answer)
        if isinstance(answer, Throttled):
            self._not_before = self._stage.now + answer.seconds
        self._mishap()
        return answer

    def events(self, _code: str, since: datetime, until: datetime, subscription: str | None = None) -> Iterator[Page]:
        """All pages: one."""
        self.question()
        yield Page(self._server.read(since, until, subscription), is_last=True)

    def event(self, id_: str) -> dict[str, Any] | None:
        """An event by its id."""
        self.question()
        return self._server.event(id_)

    def metric(self, _code: str) -> dict[str, Any] | None:
        """No metric has an expression here."""
        return None

    def question(self, tries: int = TRIES) -> None:
        """Ask anything: it is answered, or it fails as often as `Questions` lets it."""
        failures = 0
        while True:
            if self._ending.has_come:
                raise EndedError
            self._mishap()
            self._stage.pause(0.05)
            fault = self._server.weather.fault(self._stage.now, "read")
            kind = fault.partition(", ")[0] if fault else None
            if kind is None:
                return
            if kind == "429":
                self._ending.sleep(30)
                failures += 1  # not so in truth: it would wait until the pass ends
            elif kind == "timeout":
                self._stage.pause(20)
                failures += 1
            elif kind in {"500", "502", "reset", "dropped"}:
                failures += 1
            elif kind == "away":
                failures = tries
            else:
                raise self.refuses(kind)
            if failures >= tries:
                raise self.away(kind)
            self._ending.sleep(self._limits.pause * 2 ** (failures - 1))

    def away(self, words: str) -> LagoAwayError:
        """The error for a Lago that can't be reached."""
        self._told()
        return LagoAwayError(f"can't be reached: {words}")

    def refuses(self, words: str) -> LagoError:
        """The error for a Lago that refuses us."""
        self._told()
        return LagoError(f"refuses us: {words}")


def _payloads(body: str) -> list[str]:
    inside = body.removeprefix('{"events":[').removesuffix("]}")
    return ['{"transaction_id"' + part.removesuffix(",") for part in inside.split('{"transaction_id"')[1:]]
