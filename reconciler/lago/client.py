"""Lago over HTTP: one organization's API, as far as a producer of events needs it."""

import contextlib
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import httpx

from reconciler import __version__
from reconciler.lago.answers import Answer, Refused, Throttled, broken, parsed, read_answer, strange
from reconciler.lago.ending import Ending
from reconciler.lago.pace import Pace
from reconciler.model.errors import EndedError, LagoAwayError, LagoError

BATCH = 100
"""The most events that Lago takes in one request, by default."""

REQUEST_SECONDS = 20.0
"""How long a request may take before its outcome counts as unknown."""

CONNECT_SECONDS = 5.0

FIRST_PAUSE = 0.2
"""Seconds until a question that failed is asked again; twice as long each time."""

Store = Literal["postgres", "clickhouse", "unknown"]
"""Lago's event stores, which answer a repeated event in opposite ways (facts: lago section 0.1)."""

_PAGE = 1000
_REFUSALS = 20
"""How often one question may be refused for its rate."""

_LONGEST_ID = 2704
"""Bytes; Lago's index holds no longer one."""


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: httpx.Headers
    content: bytes


class Lago:
    """A connection to one Lago organization; may be used by several threads.

    Certificates are verified; `SSL_CERT_FILE`, `SSL_CERT_DIR`, `HTTPS_PROXY` and such are httpx's usual settings.
    Redirects are not followed: the key goes to the address that the operator named, and nowhere else.
    """

    def __init__(
        self,
        base: str,
        key: str,
        *,
        rate: float | None = None,
        connections: int = 4,
        ending: Ending | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            base: such as `https://api.getlago.com`, without `/api/v1`.
            key: the organization's API key.
            rate: the most requests a second; None is as many as Lago takes.
            connections: the most batches on their way at once.
            ending: when what waits goes on, and no more questions are asked.
        """
        self.base = base
        self._ending = ending or Ending()
        sleep = self._ending.sleep
        self._ceiling = Pace(rate, sleep=sleep)
        self._writing, self._reading = Pace(sleep=sleep), Pace(sleep=sleep)  # Lago limits them apart
        self._slots = threading.BoundedSemaphore(connections)
        self._client = httpx.Client(
            base_url=base + "/api/v1/",
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json",
                "User-Agent": f"reconciler/{__version__} httpx/{httpx.__version__} Python/{platform.python_version()}",
            },
            limits=httpx.Limits(max_connections=4 * connections, max_keepalive_connections=4 * connections),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextlib.contextmanager
    def slot(self, sleep: Callable[[float], object] | None = None) -> Iterator[None]:
        """One of the places on the wire; waits for it, and until the next batch may go or `sleep` is cut short."""
        with self._slots:
            self._ceiling.wait(sleep)
            self._writing.wait(sleep)
            yield

    def post(self, ids: Sequence[str], payloads: Sequence[str]) -> Answer:
        """Send a batch of frozen payloads, byte for byte, and read the answer. Call it in a `slot`."""
        body = '{"events":[' + ",".join(payloads) + "]}"
        json = {"Content-Type": "application/json"}
        try:
            response = self._request("POST", "events/batch", REQUEST_SECONDS, content=body.encode(), headers=json)
        except httpx.HTTPError as error:
            return broken(error, REQUEST_SECONDS)
        if response.status == 429:
            return Throttled(self._writing.refused(response.headers))
        self._writing.learn(response.headers)
        return read_answer(response.status, response.headers, response.content, ids)

    def store(self, *, seconds: float = REQUEST_SECONDS, tries: int = 4) -> Store:
        """Which event store the organization has: only ClickHouse's has enriched events.

        Raises:
            LagoError: no answer that is Lago's.
        """
        response = self._get("events_enriched", {"per_page": 1}, seconds=seconds, tries=tries)
        content = parsed(response.content)
        if response.status == 403 and content.get("code") == "endpoint_not_available":
            return "postgres"
        if response.status == 404 and content.get("code") == "resource_not_found":
            return "unknown"  # a Lago from before that endpoint
        self._expect(response)
        return "clickhouse"

    def events(
        self, code: str, since: datetime, until: datetime, *, subscription: str | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of the events of a code with timestamps from `since` to `until`, both inclusive.

        Args:
            code: the event code.
            since: aware.
            until: aware.
            subscription: only this one's, by its external id.

        Raises:
            LagoError: no answer that is Lago's.
        """
        parameters: dict[str, str | int] = {
            "code": code,
            "timestamp_from": since.isoformat(),
            "timestamp_to": until.isoformat(),
        }
        if subscription is not None:
            parameters["external_subscription_id"] = subscription
        return self._pages("events", parameters)

    def subscriptions(self) -> Iterator[list[dict[str, Any]]]:
        """Pages of all active subscriptions.

        Raises:
            LagoError: no answer that is Lago's.
        """
        return self._pages("subscriptions", {})

    def _pages(self, kind: str, parameters: Mapping[str, str | int]) -> Iterator[list[dict[str, Any]]]:
        page: int | None = 1
        while page is not None:
            response = self._get(kind, {**parameters, "page": page, "per_page": _PAGE})
            answer = self._expect(response)
            things, meta = answer.get(kind), answer.get("meta")
            if not isinstance(things, list) or not isinstance(meta, dict):
                raise LagoError(self._strange(response))
            yield [thing for thing in things if isinstance(thing, dict)]
            page = meta.get("next_page")

    def event(self, transaction_id: str) -> dict[str, Any] | None:
        """An event that Lago holds under an id, whichever its subscription; None if it shows none.

        Raises:
            LagoError: no answer that is Lago's.
        """
        return self._one("event", transaction_id, none={404})

    def subscription(self, external_id: str) -> dict[str, Any] | None:
        """The active subscription of that name, None if there is none or Lago can't be asked for such a name.

        Raises:
            LagoError: no answer that is Lago's.
        """
        if len(external_id.encode()) > _LONGEST_ID:
            return None
        # A gateway may choke on one strange name; that must not keep the others from being sent.
        return self._one("subscription", external_id, none={400, 404, 405, 414, 422})

    def metric(self, code: str) -> dict[str, Any] | None:
        """The billable metric of that code, None if there is none.

        Raises:
            LagoError: no answer that is Lago's.
        """
        return self._one("billable_metric", code, none={404})

    def _one(self, kind: str, name: str, *, none: set[int]) -> dict[str, Any] | None:
        # Dots alone would be taken for a way up the path.
        part = quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
        response = self._get(f"{kind}s/{part}")
        code = parsed(response.content).get("code")
        if response.status in none and (code == f"{kind}_not_found" or kind == "subscription"):
            return None
        thing = self._expect(response).get(kind)
        if not isinstance(thing, dict):
            raise LagoError(self._strange(response))
        return thing

    def _get(
        self,
        path: str,
        parameters: Mapping[str, str | int] | None = None,
        *,
        seconds: float | None = None,
        tries: int = 4,
    ) -> Reply:
        """GET, again after a rate limit or a passing failure.

        Raises:
            LagoAwayError: no answer.
            EndedError: all is to end.
        """
        seconds = REQUEST_SECONDS if seconds is None else seconds
        failures = refusals = 0
        while True:
            self._ceiling.wait()
            self._reading.wait()
            if self._ending.has_come:
                raise EndedError
            try:
                response = self._request("GET", path, seconds, params=parameters)
            except httpx.HTTPError as error:
                failures += 1
                if failures == tries or isinstance(error, httpx.ConnectError):
                    raise LagoAwayError(self.away(broken(error, seconds).said)) from error
            else:
                if response.status == 429 and refusals < _REFUSALS:
                    refusals += 1
                    self._reading.refused(response.headers)
                    continue
                failures += response.status >= 500
                if response.status < 500 or failures == tries:
                    self._reading.learn(response.headers)
                    return response
            self._ending.sleep(FIRST_PAUSE * 2 ** (failures - 1))

    def _request(self, method: str, path: str, seconds: float, **options: Any) -> Reply:
        """One request and the whole of its answer, or an error once the time is up.

        httpx limits each step on the wire; an answer that comes byte by byte would take for ever without a deadline.
        """
        deadline = time.monotonic() + seconds
        timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        with self._client.stream(method, path, timeout=timeout, **options) as response:
            pieces = []
            for piece in response.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer takes too long", request=response.request)
        return Reply(response.status_code, response.headers, b"".join(pieces))

    def _expect(self, response: Reply) -> dict[str, Any]:
        answer = read_answer(response.status, response.headers, response.content, ())
        if isinstance(answer, Refused):
            raise LagoError(self.refuses(answer.said))
        if response.status != 200:
            raise LagoAwayError(self.away(f"it answers {response.status}"))
        content = parsed(response.content)
        if not content:
            raise LagoError(self._strange(response))
        return content

    def away(self, said: str) -> str:
        """The sentence for a Lago that can't be reached."""
        return f"Lago at LAGO_API_BASE ({self.base}) can't be reached: {said}. All events stay planned; run again."

    def refuses(self, said: str) -> str:
        """The sentence for a Lago that refuses us."""
        return f"Lago at LAGO_API_BASE ({self.base}) refuses us: {said}. All events stay planned."

    def _strange(self, response: Reply) -> str:
        return self.away(strange(response.status, response.headers))
