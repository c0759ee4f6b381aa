"""What Lago's answer to a batch of events means (facts: lago section 13.3; design, section 7).

Only an answer that is Lago's own JSON and names exactly our events is a yes. What Lago refuses, it has not stored. All
the rest leaves the question open: perhaps stored, perhaps not.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from json import JSONDecodeError, loads
from typing import Any

import msgspec

DUPLICATE = {"transaction_id": ["value_already_exist"]}
"""What Lago says of an event whose id it has, under that subscription."""


class Accepted(msgspec.Struct, frozen=True):
    """Lago names exactly our events. In its Postgres store they are stored; ClickHouse will have them in a while."""


class Named(msgspec.Struct, frozen=True):
    """Nothing of the batch was stored; what Lago says of each event that it names, by its place in the batch."""

    faults: Mapping[int, Any]


class TooMany(msgspec.Struct, frozen=True):
    """Nothing was stored; this Lago takes fewer events in a batch."""


class Refused(msgspec.Struct, frozen=True):
    """Nothing was stored; Lago, or a gateway before it, can't take something in the batch, and doesn't say which event.

    The batch may also be too large.
    """

    said: str


class Throttled(msgspec.Struct, frozen=True):
    """Nothing was stored; come back after so many seconds."""

    seconds: float
    said: str = "429, it asks to wait"


class Barred(msgspec.Struct, frozen=True):
    """Nothing was stored; whatever we send is refused, until a person mends the setting or permission that it names.

    `resource` is what the API key has no permission for, by Lago's name.
    """

    said: str
    resource: str | None = None


class Away(msgspec.Struct, frozen=True):
    """Nothing was stored; there was no connection."""

    said: str


class Unknown(msgspec.Struct, frozen=True):
    """Perhaps stored, perhaps not; `lagos` says whether Lago itself answered with an error, in its own JSON."""

    said: str
    lagos: bool = False


Answer = Accepted | Named | TooMany | Refused | Throttled | Barred | Away | Unknown


def not_stored(answer: Answer) -> bool:
    """Whether it is certain that nothing of what was sent was stored."""
    return not isinstance(answer, Accepted | Unknown)


def read_answer(status: int, headers: Mapping[str, str], content: bytes, ids: Sequence[str]) -> Answer:
    """What an answer to a batch means; of a 429 without the seconds, which `Lago.post` knows.

    The headers' names are in lower case; `ids` are the transaction ids of the batch, in order.
    """
    if status == 200:
        return Accepted() if _names(content, ids) else Unknown(strange(status, headers))
    body = parsed(content)
    lagos = body.get("status") == status
    match status:
        case 429:
            return Throttled(0.0)
        case 413:
            return Refused("413, too large for Lago or for a gateway before it")
        case _ if 300 <= status < 400:
            location = headers.get("location", "nowhere")[:200]
            words = f"it answers {status} and points to {location}, which is not followed with the key"
            return Barred(f"{words}; set LAGO_API_BASE to the right address")
        case 401 | 403 | 404 if lagos:
            return _barred(status, body)
        case 400 if lagos:
            return Refused(f"400 {said(body)}".strip())
        case 422 if lagos:
            return _validation(body, len(ids))
        case 408 | 500 | 502 | 503 | 504:
            return Unknown(f"it answers {status}", lagos)
        case _:  # also a gateway's 4xx: it says nothing of our events
            return Unknown(strange(status, headers), lagos)


_PERMISSION = re.compile(r"(read|write)_action_not_allowed_for_([a-z_]{1,60})")


def _barred(status: int, body: Mapping[str, Any]) -> Barred:
    missing = _PERMISSION.fullmatch(str(body.get("code")))
    match status:
        case 401:
            return Barred("it answers 401, so LAGO_API_KEY is not a key of this organization")
        case 403 if missing:
            may_not = f"LAGO_API_KEY may not {missing[1]} {missing[2]}s: give the key that permission in Lago"
            return Barred(f"it answers 403, so {may_not}", missing[2])
        case 403:
            return Barred(f"it answers 403 {said(body)}, so LAGO_API_KEY may not do that")
    return Barred("it answers 404, so LAGO_API_BASE is not the address of a Lago, such as https://api.getlago.com")


NOT_LAGOS = "that is not Lago's answer"
"""What is said of each answer that is not."""

_API = "the address of Lago's API, such as https://api.getlago.com (LAGO_API_URL in Lago's own settings)"


def strange(status: int, headers: Mapping[str, str]) -> str:
    """The words for an answer that is not Lago's: what it probably is, and what to do."""
    kind = headers.get("content-type", "an unknown type").split(";")[0][:100]
    match status:
        case 401 | 403:
            guess = "a gateway before Lago refuses us and has not looked at LAGO_API_KEY: let it pass our requests"
        case 404:
            guess = f"a gateway knows no such address: see that LAGO_API_BASE is {_API}"
        case 407:
            guess = "a proxy wants a password: write it into its variable, as in http://user:password@proxy:3128"
        case 200 if "html" in kind:
            guess = f"a web page, perhaps Lago's front end or a gateway's: set LAGO_API_BASE to {_API}"
        case _ if status < 300:
            guess = f"another service's answer: see that LAGO_API_BASE is {_API}"
        case _:
            guess = "a gateway's page: see what is between here and Lago"
    return f"it answers {status} with {kind} {NOT_LAGOS}, but {guess}"


_LONGEST_NUMBER = 400


def parsed(content: bytes) -> dict[str, Any]:
    """A body as a JSON object, empty if it is none.

    Its fractions are decimals. A number of absurd size stays text, so that no arithmetic can choke on it. What no
    database or terminal could take in a text, half a surrogate pair or NUL, is escaped.
    """
    try:
        value = loads(content, parse_float=_decimal, parse_int=_integer)
        if _UNTAKEABLE.search(content):
            value = _takeable(value)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# How they may be written: as escapes, in UTF-8 that is none, or in UTF-16.
_UNTAKEABLE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)|\xed[\xa0-\xbf]|\x00")


def _takeable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
        case list():
            return [_takeable(item) for item in value]
        case dict():
            return {_takeable(key): _takeable(item) for key, item in value.items()}
    return value


def _decimal(text: str) -> Decimal | str:
    exponent = text.lower().partition("e")[2]
    if len(text) > _LONGEST_NUMBER or len(exponent) > 4 or abs(int(exponent or 0)) > _LONGEST_NUMBER:
        return text
    return Decimal(text)


def _integer(text: str) -> int | str:
    return text if len(text) > _LONGEST_NUMBER else int(text)


def said(body: Mapping[str, Any]) -> str:
    """Lago's own words in an error body, the first 500 characters."""
    return _words(body.get("error_details") or body.get("code") or body.get("error") or "")


def _words(value: object) -> str:
    try:
        return str(value)[:500]
    except RecursionError:
        return "something nested too deeply to be read"


class _Event(msgspec.Struct):
    """What Lago shows of an event; the last two are its own, so that an echo of ours is none."""

    transaction_id: str
    lago_id: str | None
    created_at: str | None


class _Events(msgspec.Struct):
    events: list[_Event]


_EVENTS = msgspec.json.Decoder(_Events)


def _names(content: bytes, ids: Sequence[str]) -> bool:
    try:
        stored = _EVENTS.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return [event.transaction_id for event in stored.events] == list(ids)


def _validation(body: Mapping[str, Any], size: int) -> Answer:
    details = body.get("error_details")
    if body.get("code") != "validation_errors" or not isinstance(details, dict) or not details:
        return Refused(f"422 {said(body)}".strip())  # an old Lago names none of a batch that repeats an id
    if details.get("events") == ["too_many_events"]:
        return TooMany()
    places = {str(place): place for place in range(size)}
    if details.keys() - places.keys():
        return Refused(f"422 {said(body)}")
    return Named({places[key]: _short(fault) for key, fault in details.items()})


def _short(fault: object) -> object:
    words = _words(fault)
    return fault if len(words) < 500 else words
