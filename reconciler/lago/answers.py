"""What Lago's answer to a batch of events means (facts: lago section 13.3; design, section 7).

Only an answer that is Lago's own JSON and names exactly our events is a yes. What it refuses, it has not stored. All
the rest leaves the question open: perhaps stored, perhaps not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from json import JSONDecodeError, loads
from typing import Any, Literal

import httpx
import msgspec

DUPLICATE = {"transaction_id": ["value_already_exist"]}
"""What Lago says of an event whose id it has, under that subscription."""


@dataclass(frozen=True)
class Accepted:
    """Lago names exactly our events. In its Postgres store they are stored; ClickHouse will have them in a while."""


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
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True)
class Throttled:
    """Nothing was stored; come back after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Refused:
    """Nothing was stored; Lago refuses us, whatever we send: a person has to mend the settings.

    Attributes:
        said: what was seen, and which setting it is about.
        lagos: whether it says so itself; else it may be a gateway that dislikes one event.
    """

    said: str
    lagos: bool = True


@dataclass(frozen=True)
class Unknown:
    """Perhaps stored, perhaps not.

    Attributes:
        said: what was seen.
        kind: away, there was no connection, so nothing was stored; silent, no answer in time; passing, a broken
            connection or a gateway that misses Lago, as in any bad minute; failing, an error of the server's or a
            page that is not Lago's, which may be about an event.
    """

    said: str
    kind: Literal["away", "silent", "passing", "failing"]


Answer = Accepted | Rejected | TooMany | Malformed | Throttled | Refused | Unknown


def not_stored(answer: Answer) -> bool:
    """Whether it is certain that nothing of what was sent was stored."""
    return not isinstance(answer, Accepted | Unknown) or (isinstance(answer, Unknown) and answer.kind == "away")


def read_answer(status: int, headers: Mapping[str, str], content: bytes, ids: Sequence[str]) -> Answer:
    """What an answer to a batch means; a 429 is the business of `Lago.post`.

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
            return _validation(parsed(content), len(ids), headers)
        case 403 if parsed(content).get("status") != 403:
            return Unknown(strange(status, headers), "failing")  # a firewall's, which dislikes something in it
        case 401 | 403 | 404:
            return Refused(_REFUSALS[status], lagos=parsed(content).get("status") == status)
        case _ if 300 <= status < 400:
            location = headers.get("location", "nowhere")
            return Refused(
                f"it answers {status} and points to {location}, which is not followed with the key; set LAGO_API_BASE "
                "to the right address",
                lagos=False,
            )
        case 400 if parsed(content).get("status") == 400:
            return Malformed(f"{status} {said(content)}".strip())
        case 413:
            return Malformed("413, too large for a gateway before Lago")
        case 408 | 502 | 503 | 504:
            return Unknown(f"it answers {status}", "passing")
        case _:  # also a gateway's 4xx: it says nothing of our events
            return Unknown(f"it answers {status}", "failing")


_REFUSALS = {
    401: "it answers 401, so LAGO_API_KEY is not a key of this organization",
    403: "it answers 403, so LAGO_API_KEY may not write and read events",
    404: "it answers 404, so LAGO_API_BASE is not the address of a Lago, such as https://api.getlago.com",
}


def broken(error: httpx.HTTPError, seconds: float) -> Unknown:
    """What a request without an answer means; `seconds` is how long an answer was waited for."""
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError() | httpx.PoolTimeout() | httpx.ProxyError():
            return Unknown(f"no connection ({error})" if str(error) else "no connection", "away")
        case httpx.TimeoutException():
            return Unknown(f"no answer within {seconds:g} s", "silent")
        case _:
            return Unknown(f"the connection broke ({error})" if str(error) else "the connection broke", "passing")


def strange(status: int, headers: Mapping[str, str]) -> str:
    """The words for an answer that is not Lago's."""
    kind = headers.get("content-type", "an unknown type").split(";")[0]
    return f"it answers {status} with {kind} that is not Lago's answer (a gateway's page?)"


def parsed(content: bytes) -> dict[str, Any]:
    """A body as a JSON object, its fractions as decimals; empty if it is none."""
    try:
        value = loads(content, parse_float=Decimal)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def said(content: bytes) -> str:
    """Lago's own words in an error body."""
    body = parsed(content)
    return str(body.get("error_details") or body.get("error") or "")[:500]


class _Event(msgspec.Struct):
    transaction_id: str


class _Events(msgspec.Struct):
    events: list[_Event]


_EVENTS = msgspec.json.Decoder(_Events)


def _names(content: bytes, ids: Sequence[str]) -> bool:
    try:
        stored = _EVENTS.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return [event.transaction_id for event in stored.events] == list(ids)


def _validation(content: Mapping[str, Any], size: int, headers: Mapping[str, str]) -> Answer:
    if content.get("status") != 422:
        return Unknown(strange(422, headers), "failing")
    details = content.get("error_details")
    if content.get("code") != "validation_errors" or not isinstance(details, dict) or not details:
        return Malformed(f"422 {details or content.get('code') or ''}".strip())
    if details.get("events") == ["too_many_events"]:
        return TooMany()
    faults = {int(key): fault for key, fault in details.items() if key.isdecimal() and int(key) < size}
    return Rejected(faults) if len(faults) == len(details) else Malformed(f"422 {details}")
