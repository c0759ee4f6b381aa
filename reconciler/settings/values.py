"""How each kind of setting is read from text: one function a kind.

Each takes what the environment, a flag or the TOML file holds and raises a `ValueError` whose sentence says
what to write instead. The sentences of secrets and addresses don't quote what they got.
"""

import math
import re
import shlex
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from reconciler.model.durations import format_duration, parse_duration
from reconciler.model.terms import ChargeBy
from reconciler.model.windows import check_length

KINDS = ("customer", "user", "team", "key", "model")

_SWITCH = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


class Exclusion(NamedTuple):
    """Usage that is not billed: that whose `kind` (one of `KINDS`) matches `pattern`, `*` being any text."""

    kind: str
    pattern: str


class MappingFile(NamedTuple):
    """A CSV file that maps customers to subscriptions."""

    path: Path


class MappingTable(NamedTuple):
    """A table that maps customers to subscriptions; the names are as the database has them, not quoted."""

    schema: str
    table: str


class KeyFile(NamedTuple):
    """A file that holds a key, and the key that it held."""

    path: Path
    key: SecretStr


def duration(value: object) -> timedelta:
    """Read `90s`, `15m`, `2h` or `35d`."""
    return parse_duration(str(value))


def pause(value: object) -> timedelta:
    """Read a duration from one second to one day: an interval or a time limit."""
    length = duration(value)
    if not timedelta(seconds=1) <= length <= timedelta(days=1):
        raise ValueError(f"{format_duration(length)} is out of range: write 1s to 1d, such as 60s")
    return length


def window(value: object) -> timedelta:
    """Read a window's length: 1m to 1d, dividing a day."""
    return check_length(duration(value))


def meter_name(value: object) -> str:
    """Read a meter's name."""
    name = str(value)
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", name):
        raise ValueError(
            f"{name!r} can't name a meter: write 1 to 63 letters, digits, underscores, dots or hyphens, "
            "such as proxy-eu"
        )
    return name


def event_code(value: object) -> str:
    """Read the code of Lago's billable metrics."""
    code = str(value).strip()
    if not code or not code.isprintable():
        raise ValueError("it must be the code of a billable metric in Lago, such as openai_tokens")
    return code


def charge_by(value: object) -> ChargeBy:
    """Read who is billed."""
    return ChargeBy(choice(value, tuple(ChargeBy)))


def choice(value: object, words: Iterable[str]) -> str:
    """Read one of the words."""
    *most, last = words
    if str(value).strip() not in {*most, last}:
        raise ValueError(f"{value!r} is unknown: write {', '.join(most)} or {last}")
    return str(value).strip()


def switch(value: object) -> bool:
    """Read yes or no."""
    try:
        return _SWITCH[str(value).strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither yes nor no: write true or false") from None


def subscription(value: object) -> str:
    """Read a template of subscriptions, in which `{id}` is the customer."""
    template = str(value).strip()
    if "{id}" not in template or set("{}") & set(template.replace("{id}", "")):
        raise ValueError(f"{template!r} must hold {{id}} for the customer, and no other braces, such as litellm-{{id}}")
    return template


def mapping(value: object) -> MappingFile | MappingTable:
    """Read where subscriptions are listed: a CSV file's path, or `table:schema.table`."""
    text = str(value).strip()
    if not text:
        raise ValueError("it must be a CSV file or a table, such as customers.csv or table:billing.subscriptions")
    if not text.startswith("table:"):
        try:
            return MappingFile(Path(text).expanduser())
        except RuntimeError:
            home = text.partition("/")[0]
            raise ValueError(f"{home} is nobody's home: write the whole path, such as /etc/customers.csv") from None
    schema, _, table = text.removeprefix("table:").partition(".")
    if not (schema and table) or "." in table:
        raise ValueError(f"{text!r} must name schema and table, such as table:billing.subscriptions")
    return MappingTable(schema, table)


def exclusions(value: object) -> tuple[Exclusion, ...]:
    """Read a list, or a text with commas, of `kind:pattern`."""
    items = value if isinstance(value, list) else str(value).split(",")
    return tuple(dict.fromkeys(_exclusion(item) for item in (str(item).strip() for item in items) if item))


def _exclusion(text: str) -> Exclusion:
    kind, _, pattern = text.partition(":")
    if kind not in KINDS or not pattern:
        raise ValueError(
            f"{text!r} excludes nothing: write {', '.join(KINDS[:-1])} or {KINDS[-1]}, a colon, a pattern, "
            "such as team:internal,model:byok/*"
        )
    return Exclusion(kind, pattern)


def connections(value: object) -> int:
    """Read how many requests may be on their way at once: 1 to 16."""
    text = str(value).strip()
    if not text.isdecimal() or not 1 <= int(text) <= 16:
        raise ValueError(f"{value!r} is not a number of connections: write a whole number from 1 to 16, such as 2")
    return int(text)


def rate(value: object) -> float:
    """Read a number of requests a second."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{value!r} is no rate: write a number of requests a second above 0, such as 5 or 0.5")
    return number


def http_address(value: object) -> str:
    """Read the `host:port` on which the service's pages are."""
    host, colon, port = str(value).strip().rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not (colon and bare and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65_535) or (
        ":" in bare and bare == host
    ):
        raise ValueError(f"{value!r} is no host and port: write them such as 127.0.0.1:9464 or [::1]:9464")
    return f"{host}:{port}"


def command(value: object) -> tuple[str, ...]:
    """Read a program with its arguments, written as in a shell; no shell runs it."""
    try:
        words = tuple(shlex.split(str(value)))
    except ValueError:
        words = ()
    if not words or "\x00" in str(value):
        raise ValueError(
            "it is no command: write a program and its arguments, such as /usr/local/bin/page --team billing"
        )
    return words


def webhook(value: object) -> SecretStr:
    """Read an address that may hold a token, so that it is not quoted."""
    text = str(value).strip()
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("it is not an http or https address: write it such as https://hooks.example.com/alarms")
    return SecretStr(text)


def lago_base(value: object) -> str:
    """Read Lago's address and leave out what we add ourselves: a last slash, `/api/v1`."""
    text = str(value).strip().rstrip("/")
    example = "write its address, such as https://api.getlago.com"
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        if text.isascii():
            (parts.hostname or "").encode("idna")  # what has an empty or endless part is no host
    except ValueError:
        sound = False
    if not sound or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"it is not an http or https address: {example}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"it must hold no user, password, query or fragment: {example}")
    return text.removesuffix("/api/v1").rstrip("/")


def secret(value: object) -> SecretStr:
    """Read a key or token that goes into an HTTP header, without the blanks or line break around it."""
    text = str(value).strip()
    if not text:
        raise ValueError("it is empty: write the key, such as 00000000-0000-0000-0000-000000000000")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(
            "it holds a blank, line break or other character that no key has: write the key alone, "
            "such as 00000000-0000-0000-0000-000000000000"
        )
    return SecretStr(text)


def secret_file(value: object) -> KeyFile:
    """Read a key from a file that holds nothing else. What was given is not quoted: it may be the key itself."""
    path = Path(str(value).strip())
    example = "write the path of a file that holds the key alone, such as /run/secrets/lago_api_key"
    try:
        return KeyFile(path, secret(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"it names a file that can't be read ({error.strerror}): {example}") from None
    except UnicodeDecodeError:
        raise ValueError(f"its file is not text: {example}") from None
    except ValueError as error:
        raise ValueError(f"its file can't be used: {error}") from None
