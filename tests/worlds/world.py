"""A world: usage to deliver, a Lago, weather between them, passes that come and die; all drawn from one seed."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast

from greenlet import getcurrent, greenlet

from reconciler.delivery.sender import IN_VAIN, Sender
from reconciler.lago.answers import Answer
from reconciler.ledger.batches import Batch
from reconciler.ledger.lagos import KnownLago
from reconciler.model.errors import EndedError, LagoAwayError, LagoError, LedgerError
from reconciler.settings.limits import Limits
from tests.worlds.lago import Client, Copy, Server
from tests.worlds.ledger import Event, MemoryOutbox, Row
from tests.worlds.stage import Died, Stage, moment
from tests.worlds.weather import Weather, draw_weather

WINDOW = 900
LIMITS = Limits()
LAG = timedelta(minutes=1)
MOST_PASSES = 400
FEW_REQUESTS = 60

STORES = (
    "postgres",
    "postgres",
    "postgres",
    "clickhouse",
    "plain clickhouse",
    "plain clickhouse",
    "unknown",
    "unknown",
)
POISONS = ("500", "500", "400", "odd 422")
SLOW_POISONS = ("502", "504", "timeout")


class WrongError(AssertionError):
    """The world did not end as it must."""


class World:
    """What one seed makes."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        """Draw it; nothing happens yet."""
        self.random = random = Random(seed)
        self.seed = seed
        self.stage = Stage(random)
        self.store = random.choice(STORES)
        plain = self.store in {"plain clickhouse", "unknown"}
        self.refuses_repetitions = self.store == "postgres" or (self.store == "unknown" and random.random() < 0.5)
        self.repeatable = not plain
        self.weather: Weather = draw_weather(random)
        self.server = Server(
            self.stage,
            self.weather,
            random,
            refuses_repetitions=self.refuses_repetitions,
            lag=0.0 if self.refuses_repetitions else LAG.total_seconds() * random.choice((0.02, 1)),
            late=self.repeatable,
            stores_rest=random.random() < 0.1,
            most=random.choice((100, 100, 100, 100, 5, 1)),
            most_bytes=random.choice((10**9, 10**9, 10**9, 700)),
            rate=random.choice((None, None, None, None, None, 3, 10)),
        )
        self.senders = random.choice((1, 1, 2, 2, 3, 4))
        self.deadline = random.choice((50.0, 240.0, 600.0))
        self.interval = random.choice((60.0, 180.0, 300.0, 300.0))
        self.quiet = random.random() < 0.25
        self.trouble = random.choice((0.0, 0.0, 0.002, 0.01, 0.05))
        self.nature: dict[str, str] = {}
        self.wrong: list[str] = []
        self.trace: list[str] | None = [] if trace else None
        self.events: dict[str, Event] = {}
        self._sent: set[str] = set()
        self._last: dict[greenlet, Sequence[str]] = {}
        self._excused: set[str] = set()
        self._buckets: list[tuple[datetime, str]] = []
        self._passes: dict[greenlet, list[greenlet]] = {}
        self._customers = 0
        self._planning = False
        self._away_since: float | None = None
        self._asked_at = 0.0
        self.ledger = MemoryOutbox(
            lambda: self.stage.now,
            LIMITS,
            ask_after=timedelta(0) if self.repeatable else timedelta(seconds=LIMITS.request) + LAG,
            mishap=self._mishap,
            taken=self._taken,
        )
        self._backlog()

    def run(self) -> None:
        """Let it happen; raise `WrongError` if it does not end as it must."""
        self.stage.begin(self._cron)
        self.stage.run()
        self._check()
        if self.wrong:
            raise WrongError(f"world {self.seed}: " + "; ".join(self.wrong[:5]))

    def hear(self, **said: Any) -> None:
        """A sender logs why events go again."""
        self._again(self._last[getcurrent()])
        self._note("again", said["first"], said["events"], said["reason"])

    # What there is to deliver

    def _backlog(self) -> None:
        random = self.random
        for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
            window = moment(-WINDOW * random.randint(1, 40))
            keys = [(window, self._new_bucket(), 0) for _ in range(random.choice((1, 1, 2, 3, 5, 9)))]
            self.ledger.plan([self._event(*key) for key in keys])
        for _ in range(random.choice((0, 0, 1, 2))):
            window, bucket = random.choice(self._buckets)
            revision = max(self.ledger.revisions(window, bucket)) + 1
            self.ledger.plan([self._event(window, bucket, revision)], behind=True)
        ids = list(self.events)
        random.shuffle(ids)
        for _ in range(random.choice((0, 0, 0, 0, 0, 1, 1, 2, 3)[: 9 if self.quiet or random.random() < 0.2 else 5])):
            self._give(ids, "poison")
        if random.random() < 0.3:
            self._give(ids, "invalid")
        if self.store == "clickhouse" or self.refuses_repetitions:
            for _ in range(random.choice((0, 0, 0, 1, 2))):
                self._give(
                    ids, random.choice(("equal", "conflict", "deleted")) if self.refuses_repetitions else "equal"
                )

    def _give(self, ids: list[str], nature: str) -> None:
        if not ids:
            return
        id_ = ids.pop()
        self.nature[id_] = nature
        payload = self.events[id_].payload
        match nature:
            case "poison":
                slow = self.random.random() < (0.5 if self.quiet else 0.1)  # to prove it takes thirty passes
                self.server.poison[id_] = self.random.choice(SLOW_POISONS if slow else POISONS)
            case "invalid":
                self.server.invalid.add(id_)
            case "equal":
                self.server.hold(id_, Copy(ours=True, shown_at=-1e9, payload=payload))
            case "conflict":
                other = payload.replace('"requests":1', '"requests":2')
                self.server.hold(id_, Copy(ours=False, shown_at=-1e9, payload=other))
            case "deleted":
                self.server.hold(id_, Copy(ours=False, shown_at=-1e9, payload=""))

    def _new_bucket(self) -> str:
        self._customers += 1
        return f"c{self._customers}"

    def _event(self, window: datetime, bucket: str, revision: int) -> Event:
        id_ = f"r1_{len(self.events)}"
        stamp = int(window.timestamp()) + WINDOW - 1
        payload = (
            f'{{"transaction_id":"{id_}","external_subscription_id":"{bucket}","code":"tokens",'
            f'"timestamp":"{stamp}.999","properties":{{"requests":1,"revision":{revision}}}}}'
        )
        if not revision:
            self._buckets.append((window, bucket))
        event = self.events[id_] = Event(window, bucket, revision, id_, payload)
        return event

    def _plan(self) -> None:
        """New usage, as a pass's chunk plans it: it reads how the buckets stand, and commits a little later."""
        random = self.random
        calm = self.stage.now >= self.weather.calm_at
        if self._planning or (not calm and random.random() < min(0.9, 0.3 + 0.1 * len(self.ledger.planned))):
            return
        self._planning = True
        keys: list[tuple[datetime, str, int]] = []
        window = moment(WINDOW * (self.stage.now // WINDOW - 1))
        for _ in range(1 if calm else random.choice((1, 1, 2, 3))):
            if random.random() < 0.2 and self._buckets:
                bucket = random.choice(self._buckets)
                keys.append((*bucket, max(self.ledger.revisions(*bucket)) + 1))
            else:
                keys.append((window, self._new_bucket(), 0))
        fates = []
        for key in dict.fromkeys(keys):
            rows = list(self.ledger.revisions(*key[:2]).values())
            conflict = any(row.conflict and row.state != "accepted" for row in rows)
            fates.append((key, conflict, any(row.state == "planned" for row in rows)))
        self.stage.pause(random.choice((0.01, 0.01, 1.0)))
        for conflict, behind in ((False, False), (False, True), (True, False), (True, True)):
            if some := [self._event(*key) for key, *fate in fates if fate == [conflict, behind]]:
                self.ledger.plan(some, behind=behind, held=conflict)
        self._planning = False

    # Passes

    def _cron(self) -> None:
        late = 0
        while late < MOST_PASSES:
            calm = self.stage.now >= self.weather.calm_at
            if calm and self._is_settled():
                return
            late += calm
            self.stage.begin(self._pass)
            self.stage.pause(self.interval)

    def _pass(self) -> None:
        me = getcurrent()
        self._passes[me] = []
        began, posts = self.stage.now, self.server.posts
        if not self.quiet:
            self._plan()
        if self.ledger.planned:
            self._deliver(me)
        if self.weather.is_out(began, self.stage.now) and self.server.posts - posts > FEW_REQUESTS:
            self.wrong.append(f"{self.server.posts - posts} requests of one pass in an outage")
        del self._passes[me]

    def _deliver(self, me: greenlet) -> None:
        """As `Delivery` does it."""
        now = self.stage.now
        away = None if self._away_since is None else moment(self._away_since)
        if moment(now) < KnownLago("unknown", moment(self._asked_at), away).next_at:
            return
        self._asked_at = now
        ending = Ending(self.stage, now + self.deadline)
        client = Client(
            self.server,
            self.stage,
            ending,
            mishap=self._mishap,
            sending=self._sending,
            told=lambda: self._again(self._last.get(getcurrent(), ())),
            answered=self._answered,
        )
        careful = away is not None
        try:
            client.question(1 if careful else 4)
            self._send(client, ending, me, careful=careful)
        except LagoAwayError as error:
            self._note("pass", error)
            self._away_since = self.stage.now if self._away_since is None else self._away_since
        except (LagoError, LedgerError, EndedError) as error:
            self._note("pass", error)

    def _send(self, client: Client, ending: "Ending", me: greenlet, *, careful: bool) -> None:
        def sender(*, careful: bool = False) -> Sender:
            return Sender(
                cast("Any", self.ledger),
                cast("Any", client),
                repeatable=self.repeatable,
                fresh_since=moment(self.stage.now - 3600),
                ending=cast("Any", ending),
                progress=lambda _: None,
                in_vain=1 if careful else IN_VAIN,
            )

        senders = [sender() for _ in range(self.senders)]
        if careful:
            scout = sender(careful=True)
            scout.run(most=1)
            if scout.delivered.accepted:
                self._away_since = None
        self._send_all(senders, ending, me)
        if any(each.delivered.accepted for each in senders):
            self._away_since = None
        elif failed := next((each.failed for each in senders if each.failed), None):
            raise LagoAwayError(failed)

    def _send_all(self, senders: list[Sender], ending: "Ending", me: greenlet) -> None:
        """As `send_all` does it, with actors for threads."""
        if len(senders) == 1:
            senders[0].run()
            return
        errors: list[Exception] = []
        working = len(senders)

        def work(sender: Sender) -> None:
            nonlocal working
            try:
                sender.run()
            except (LagoError, LedgerError) as error:
                errors.append(error)
                ending.cut()
            working -= 1
            if not working:
                self.stage.wake(me)

        self._passes[me] = [self.stage.begin(lambda sender=sender: work(sender)) for sender in senders]  # type: ignore[misc]
        self.stage.park()
        if errors:
            raise errors[0]

    # What goes wrong

    def _mishap(self) -> None:
        """Perhaps the process dies here, or waits for long, or the ledger breaks."""
        if not self.trouble or self.random.random() >= self.trouble or self.stage.now >= self.weather.calm_at:
            return
        match self.random.choice(("dies", "dies", "sleeps", "breaks")):
            case "dies":
                self._note("a pass dies")
                self._again(self._last.get(getcurrent(), ()))
                self._kill()
            case "sleeps":
                self._note("a sender sleeps")
                # Where nothing refuses a repetition, no more can be promised of one that sleeps before it posts.
                self.stage.pause(
                    self.random.choice((3, 30, 100, 250)) if self.repeatable else self.random.choice((1, 3))
                )
            case "breaks":
                self._note("the ledger breaks")
                self._again(self._last.get(getcurrent(), ()))
                raise LedgerError("the ledger can't be reached")

    def _kill(self) -> None:
        me = getcurrent()
        for pass_, actors in self._passes.items():
            if me is pass_ or me in actors:
                for other in (pass_, *actors):
                    self.stage.kill(other)
                self._passes.pop(pass_)
                break
        raise Died

    # What is seen

    def _taken(self, batch: Batch) -> None:
        self._last[getcurrent()] = batch.ids
        if batch.lost:  # `Outbox` logs it
            self._again(batch.ids)
        if batch.opened_before is not None and not self.repeatable:
            return  # it is not sent, only asked about
        again = [id_ for id_ in batch.ids if id_ in self._sent and id_ not in self._excused]
        if again and self.ledger.rows[batch.id].failure is None:  # nor does the ledger say why
            self._note("no reason for", *again)
            self.wrong.append(f"{again} sent again without a reason")
        self._excused.difference_update(batch.ids)

    def _sending(self, ids: Sequence[str]) -> None:
        self._sent.update(ids)
        if self.server.posts > 20000:
            raise WrongError(f"world {self.seed}: it sends without end")

    def _again(self, ids: Sequence[str]) -> None:
        self._excused.update(ids)

    def _answered(self, ids: Sequence[str], answer: Answer) -> None:
        self._note("answer", len(ids), ids[0], answer)

    def _note(self, *what: object) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.stage.now:10.2f} " + " ".join(map(str, what)))

    # How it must end

    def _is_settled(self) -> bool:
        planned = self.ledger.planned.values()
        return not planned or (self.quiet and all(self._may_rest(row) for row in planned))

    def _may_rest(self, row: Row) -> bool:
        """Whether a batch may stay planned where nothing new shows that Lago works: poison, or what waits for it."""
        if row.behind and any(
            earlier < event.revision and other.state == "planned" and self._may_rest(other)
            for event in row.events
            for earlier, other in self.ledger.revisions(event.window, event.bucket).items()
        ):
            return True
        return len(row.events) == 1 and self.nature.get(row.events[0].id) == "poison" and row.failures >= 3

    def _check(self) -> None:
        seen: Counter[str] = Counter()
        for row in self.ledger.rows.values():
            assert row.events, "no batch is empty"
            seen.update(event.id for event in row.events)
            rests = row.state == "planned" and self.quiet and self._may_rest(row)
            if not rests:
                for event in row.events:
                    self._check_event(event, row)
        if seen != Counter(dict.fromkeys(self.events, 1)):
            self.wrong.append("an event is in no batch, or in two")

    def _check_event(self, event: Event, row: Row) -> None:
        nature = self.nature.get(event.id, "healthy")
        copies = self.server.copies.get(event.id, [])
        ours = sum(copy.ours for copy in copies)
        behind_conflict = any(
            revision < event.revision and other.conflict
            for revision, other in self.ledger.revisions(event.window, event.bucket).items()
        )
        counted = bool(ours) if self.store == "clickhouse" else ours == 1
        words = row.answer or ""
        match nature:
            case _ if behind_conflict:
                right = row.state == "held" and row.held_for == "conflict" and ours == (nature == "equal")
            case "healthy" | "equal":
                right = row.state == "accepted" and counted
            case "poison":
                right = row.state == "quarantined" and not row.conflict and not ours
            case "invalid":
                right = row.state == "quarantined" and not ours and "invalid_format" in words
            case "conflict":
                right = row.state == "quarantined" and row.conflict and not ours
            case _:
                right = row.state == "quarantined" and not ours and "Lago shows no such event" in words
        if not right:
            self.wrong.append(
                f"{nature} {event.id} (of {event.bucket}, revision {event.revision}) is {row.state}, {ours} copies in "
                f"Lago ({self.store}): batch {row.id} of {len(row.events)}, {words or row.failure}"
            )


class Ending:
    """Stands in for `reconciler.lago.ending.Ending` in virtual time."""

    def __init__(self, stage: Stage, deadline: float) -> None:
        self._stage = stage
        self._deadline = deadline

    @property
    def has_come(self) -> bool:
        """Whether it is time to end."""
        return self._stage.now >= self._deadline

    def cut(self) -> None:
        """Let the time be up."""
        self._deadline = float("-inf")

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it is time to end."""
        self._stage.pause(min(seconds, max(0.0, self._deadline - self._stage.now)))
