"""Delivery, and the bare loop it is held against: the same bodies, over as many connections, to the same responder.

Each run is a process of its own, so that its processor time is that of its sender and of nothing else.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx

from bench.ground import Ground
from reconciler.passes.run import Pass, Request
from reconciler.report.progress import Silent
from reconciler.settings.limits import Limits
from reconciler.settings.load import load_settings

CONNECTIONS = 2
"""How many batches a pass has on their way at once, unless told otherwise."""

RATE = 0.9
"""How much of the bare loop's rate a pass should reach at least."""


@dataclass(frozen=True)
class Sent:
    """What a run sent, and what it took.

    Attributes:
        events: how many.
        seconds: from before the first batch was taken to after the last answer was recorded.
        cpu_seconds: of the sending process meanwhile, all its threads together.
    """

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_of_thousand(self) -> float:
        """Processor seconds for 1,000 events."""
        return 1000 * self.cpu_seconds / self.events


class _Watch(Silent):
    """Notes when delivery begins, and each time events were answered."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, float, int]] = []

    def delivering(self, events: int) -> None:  # noqa: ARG002
        self.answered(0)

    def answered(self, events: int) -> None:
        """Any sender's thread comes here; an append needs no lock."""
        self._marks.append((time.perf_counter(), time.process_time(), events))

    def sent(self) -> Sent:
        (began, cpu_began, _), (ended, cpu_ended, _) = min(self._marks), max(self._marks)
        return Sent(sum(events for *_, events in self._marks), ended - began, cpu_ended - cpu_began)


def ours(ground: Ground, connections: int) -> Sent:
    """Run a real pass over a ledger full of planned events; raise `RuntimeError` if it leaves any."""
    ground.first_look()
    ground.execute("CHECKPOINT")
    planned = ground.events()
    sent = _alone(partial(_pass, dict(ground.environ), connections))
    if sent.events != planned:
        raise RuntimeError(f"{ground.name}: {sent.events} of {planned} events were delivered")
    return sent


def _pass(environ: dict[str, str], connections: int) -> Sent:
    watch = _Watch()
    settings = load_settings(environ=environ | {"RECONCILE_CONNECTIONS": str(connections)})
    for summary in Pass(settings).run(Request(), watch):
        if summary.error:
            raise summary.error
    return watch.sent()


def bodies(payloads: Sequence[str]) -> list[bytes]:
    """Return the bodies of the batches that deliver the payloads."""
    size = Limits().batch
    batches = (payloads[first : first + size] for first in range(0, len(payloads), size))
    return [('{"events":[' + ",".join(batch) + "]}").encode() for batch in batches]


def bare(ground: Ground, connections: int) -> Sent:
    """Post the bodies of all planned events, prepared, so many at once; look at nothing but the status."""
    payloads = ground.payloads()
    return _alone(partial(_loop, ground.environ["LAGO_API_BASE"], bodies(payloads), len(payloads), connections))


def _loop(url: str, prepared: Sequence[bytes], events: int, connections: int) -> Sent:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    with (
        httpx.Client(base_url=f"{url}/api/v1/", limits=limits, timeout=60) as client,
        ThreadPoolExecutor(connections) as pool,
    ):

        def post(body: bytes) -> None:
            answer = client.post("events/batch", content=body, headers={"Content-Type": "application/json"})
            answer.raise_for_status()

        began, cpu_began = time.perf_counter(), time.process_time()
        for _ in pool.map(post, prepared):
            pass
        return Sent(events, time.perf_counter() - began, time.process_time() - cpu_began)


def _alone(work: Callable[[], Sent]) -> Sent:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work).result()
