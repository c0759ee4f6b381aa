"""Lago over HTTP: what is asked, and what each answer means (facts: lago-api v1.51, design section 7)."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError, loads
from typing import Any, Literal
from urllib.parse import quote

import httpx

from reconciler import __version__
from reconciler.errors import LagoError

BATCH = 100
"""The most events that Lago takes in one request, by default."""

REQUEST_SECONDS = 20.0
"""How long a request may take before its outcome counts as unknown."""

_PAGE = 1000
_LONGEST_ID = 2704
"""Bytes; Lago's index holds no longer one."""
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Accepted:
    """Lago names exactly our events: stored."""


@dataclass(frozen=True)
class Rejected:
    """Nothing of the batch was stored; what Lago says of each event, by its place in the batch."""

    faults: Mapping[int, Any]


@dataclass(frozen=True)
class TooMany:
    """Nothing was stored; this Lago takes smaller batches."""


@dataclass(frozen=True)
class Malformed:
    """Nothing was stored; something in the batch can't be taken, Lago doesn't say which."""

    said: str


@dataclass(frozen=True)
class Throttled:
    """Nothing was stored; come back after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Unknown:
    """Perhaps stored, perhaps not: the same bytes go again.

    Attributes:
        said: what was seen.
        kind: away, there was no connection; silent, no answer in time; failing, a broken connection, an error of
            the server's or a page that is not Lago's.
    """

    said: str
    kind: Literal["away", "silent", "failing"]


@dataclass(frozen=True)
class Refused:
    """Lago refuses us, whatever we send: a person has to mend the settings."""

    said: str


Answer = Accepted | Rejected | TooMany | Malformed | Throttled | Unknown | Refused


class Pace:
    """Keeps requests of all threads under a ceiling."""

    def __init__(self, rate: float | None) -> None:
        """Allow `rate` requests a second; None is no ceiling."""
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleep until the next request may go."""
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._gap
        time.sleep(at - now)


class Lago:
    """A connection to one Lago organization; may be used by several threads."""

    def __init__(self, base: str, key: str, *, rate: float | None = None, connections: int = 8) -> None:
        """Connect to nothing yet.

        Args:
            base: such as `https://api.getlago.com`, without `/api/v1`.
            key: the organization's API key.
            rate: the most requests a second; None is no ceiling.
            connections: the most at once.
        """
        self.base = base
        self._pace = Pace(rate)
        self._client = httpx.Client(
            base_url=base + "/api/v1/",
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json",
                "User-Agent": f"reconciler/{__version__}",
            },
            timeout=httpx.Timeout(REQUEST_SECONDS, connect=5.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def post(self, ids: Sequence[str], payloads: Sequence[str]) -> Answer:
        """Send a batch of frozen payloads, byte for byte, and read the answer."""
        body = '{"events":[' + ",".join(payloads) + "]}"
        self._pace.wait()
        try:
            response = self._client.post(
                "events/batch", content=body.encode(), headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            return _unknown(error)
        return read_answer(response.status_code, response.headers, response.content, ids)

    def find(self, transaction_id: str) -> dict[str, Any] | None:
        """The event that Lago holds under an id, None if it shows none.

        Raises:
            LagoError: no answer that is Lago's.
        """
        response = self._get("events/" + quote(transaction_id, safe=""))
        if response.status_code == 404 and _json(response.content).get("code") == "event_not_found":
            return None
        event = self._expect(response).get("event")
        if not isinstance(event, dict):
            raise LagoError(self._strange(response))
        return event

    def subscription(self, external_id: str) -> dict[str, Any] | None:
        """The active subscription of that name, None if there is none or Lago can't be asked for such a name.

        Raises:
            LagoError: no answer that is Lago's.
        """
        if len(external_id.encode()) > _LONGEST_ID:
            return None
        # Dots alone would be taken for a way up the path.
        name = quote(external_id, safe="") if external_id.strip(".") else external_id.replace(".", "%2E")
        response = self._get("subscriptions/" + name)
        # A gateway may choke on one strange name; that must not keep the others from being sent.
        if response.status_code in {400, 404, 405, 414, 422}:
            return None
        subscription = self._expect(response).get("subscription")
        if not isinstance(subscription, dict):
            raise LagoError(self._strange(response))
        return subscription

    def events(self, code: str, since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
        """Pages of the events of a code with timestamps from `since` to `until`, both inclusive.

        Raises:
            LagoError: no answer that is Lago's.
        """
        page: int | None = 1
        while page is not None:
            parameters: dict[str, str | int] = {
                "code": code,
                "timestamp_from": since.isoformat(),
                "timestamp_to": until.isoformat(),
                "page": page,
                "per_page": _PAGE,
            }
            response = self._get("events", parameters)
            answer = self._expect(response)
            events, meta = answer.get("events"), answer.get("meta")
            if not isinstance(events, list) or not isinstance(meta, dict):
                raise LagoError(self._strange(response))
            yield events
            page = meta.get("next_page")

    def _get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> httpx.Response:
        """GET, again after a rate limit or a passing failure."""
        for attempt in range(4):
            self._pace.wait()
            try:
                response = self._client.get(path, params=parameters)
            except httpx.HTTPError as error:
                if attempt == 3 or isinstance(error, httpx.ConnectError):
                    raise LagoError(self.away(_unknown(error).said)) from error
                time.sleep(0.2 * 2**attempt)
                continue
            if response.status_code == 429:
                time.sleep(_asked_to_wait(response.headers))
            elif response.status_code >= 500 and attempt < 3:
                time.sleep(0.2 * 2**attempt)
            else:
                return response
        return response

    def _expect(self, response: httpx.Response) -> dict[str, Any]:
        answer = read_answer(response.status_code, response.headers, response.content, ())
        if isinstance(answer, Refused):
            raise LagoError(self.refuses(answer.said))
        if response.status_code != 200:
            raise LagoError(self.away(f"it answers {response.status_code}"))
        content = _json(response.content)
        if not content:
            raise LagoError(self._strange(response))
        return content

    def away(self, said: str) -> str:
        """The sentence for a Lago that can't be reached."""
        return f"Lago at LAGO_API_BASE ({self.base}) can't be reached: {said}. All events stay planned; run again."

    def refuses(self, said: str) -> str:
        """The sentence for a Lago that refuses us."""
        return f"Lago at LAGO_API_BASE ({self.base}) refuses us: {said}. All events stay planned."

    def _strange(self, response: httpx.Response) -> str:
        return self.away(strange(response.status_code, response.headers))


def read_answer(status: int, headers: Mapping[str, str], content: bytes, ids: Sequence[str]) -> Answer:
    """What an answer to a batch means.

    Args:
        status: the HTTP status.
        headers: as httpx has them, names in any case.
        content: the body.
        ids: the transaction ids of the batch, in order.
    """
    match status:
        case 200:
            return Accepted() if _names(content, ids) else Unknown(strange(status, headers), "failing")
        case 422:
            return _validation(_json(content), len(ids))
        case 429:
            return Throttled(_asked_to_wait(headers))
        case 401:
            return Refused("it answers 401, so LAGO_API_KEY is not a key of this organization")
        case 403:
            return Refused("it answers 403, so LAGO_API_KEY may not write and read events")
        case 404:
            return Refused(
                "it answers 404, so LAGO_API_BASE is not the address of a Lago, such as https://api.getlago.com"
            )
        case _ if 300 <= status < 400:
            location = headers.get("location", "nowhere")
            return Refused(f"it answers {status}, a redirect to {location!r}; set LAGO_API_BASE to where it is")
        case _ if 400 <= status < 500 and _json(content).get("status") == status:
            return Malformed(f"{status} {_said(content)}".strip())
        case _:  # also a gateway's 4xx: it says nothing of our events
            return Unknown(f"it answers {status}", "failing")


def strange(status: int, headers: Mapping[str, str]) -> str:
    """The words for an answer that is not Lago's."""
    kind = headers.get("content-type", "an unknown type").split(";")[0]
    return f"it answers {status} with {kind} that is not Lago's answer (a gateway's page?)"


def same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether the event that Lago holds is the one we planned: numbers compared as decimals.

    What Lago adds by itself (ids, the time of creation, a metric's expression field) does not count.
    """
    properties, held = ours["properties"], theirs.get("properties")
    return (
        theirs.get("external_subscription_id") == ours.get("external_subscription_id")
        and theirs.get("code") == ours["code"]
        and _milliseconds(theirs.get("timestamp")) == int(Decimal(ours["timestamp"]) * 1000)
        and isinstance(held, dict)
        and all(name in held and _equal(value, held[name]) for name, value in properties.items())
        and _equal(ours.get("precise_total_amount_cents") or 0, theirs.get("precise_total_amount_cents") or 0)
    )


def _names(content: bytes, ids: Sequence[str]) -> bool:
    events = _json(content).get("events")
    return isinstance(events, list) and [
        event.get("transaction_id") if isinstance(event, dict) else None for event in events
    ] == list(ids)


def _validation(content: Mapping[str, Any], size: int) -> Answer:
    details = content.get("error_details")
    if content.get("code") != "validation_errors" or not isinstance(details, dict) or not details:
        return Malformed(f"422 {content}")
    if details.get("events") == ["too_many_events"]:
        return TooMany()
    faults = {int(key): fault for key, fault in details.items() if key.isdecimal() and int(key) < size}
    return Rejected(faults) if len(faults) == len(details) else Malformed(f"422 {details}")


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    for name in ("retry-after", "x-ratelimit-reset"):
        try:
            return min(max(float(headers.get(name, "")), 0.05), _LONGEST_WAIT)
        except ValueError:
            continue
    return 1.0


def _unknown(error: httpx.HTTPError) -> Unknown:
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError() | httpx.PoolTimeout():
            return Unknown(f"no connection ({error})" if str(error) else "no connection", "away")
        case httpx.TimeoutException():
            return Unknown(f"no answer within {REQUEST_SECONDS:g} s", "silent")
        case _:
            return Unknown(f"the connection broke ({error})" if str(error) else "the connection broke", "failing")


def _json(content: bytes) -> dict[str, Any]:
    try:
        parsed = loads(content, parse_float=Decimal)
    except (JSONDecodeError, UnicodeDecodeError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _said(content: bytes) -> str:
    parsed = _json(content)
    return str(parsed.get("error_details") or parsed.get("error") or "")[:500]


def _milliseconds(timestamp: object) -> int | None:
    try:
        moment = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return None
    return round(moment.timestamp() * 1000) if moment.tzinfo else None


def _equal(ours: object, theirs: object) -> bool:
    if ours == theirs:
        return True
    try:
        return Decimal(str(ours)) == Decimal(str(theirs))
    except InvalidOperation:
        return False
