"""The way to Lago: whole answers of bounded size within a bounded time, without the key in them."""

import contextlib
import platform
import re
import threading
import time
from collections.abc import Mapping
from functools import cached_property, lru_cache
from html.entities import codepoint2name
from typing import Any, NamedTuple

import httpx

from reconciler import __version__
from reconciler.lago import surroundings
from reconciler.lago.answers import Away, Unknown
from reconciler.settings.limits import Limits

_PIECE = 2**16
"""Bytes that are written in one step."""

_JSON = {"Content-Type": "application/json"}


class Reply(NamedTuple):
    """A whole answer; its headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport:
    """Connections to one Lago; several threads may use them.

    Certificates are verified. Proxies and authorities are those of the environment; what is wrong with them is said
    with the first request, since a pass can do much without Lago.
    Redirects are not followed: the key goes to the address that the operator named, and nowhere else.
    """

    def __init__(self, base: str, key: str, limits: Limits, connections: int) -> None:
        """Connect to nothing yet; `connections` is how many there may be."""
        self._limits = limits
        self._key = re.compile("".join(map(_written, key)).encode() or rb"(?!)")
        self._deadline = _Deadline()
        self._url = lru_cache(16)(lambda path: httpx.URL(f"{base}/api/v1/{path}"))
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # an answer that unpacks to more than was counted can't come
            "User-Agent": f"reconciler/{__version__} httpx/{httpx.__version__} Python/{platform.python_version()}",
        }
        self._base, self._connections = base, connections
        self._lock = threading.Lock()

    @cached_property
    def _proxy(self) -> surroundings.Proxy | None:
        return surroundings.proxy_to(self._base)

    @cached_property
    def _client(self) -> httpx.Client:
        """Made with the first request: most passes find nothing to ask, and it takes as long as one of these."""
        return httpx.Client(
            limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
            follow_redirects=False,
            trust_env=False,
            verify=surroundings.trust(self._base, self._proxy),
            proxy=self._proxy and self._proxy.proxy,
        )

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def request(
        self, path: str, seconds: float, *, query: Mapping[str, Any] | None = None, body: bytes | None = None
    ) -> Reply | Away | Unknown:
        """GET, or POST a JSON body as it is; `path` is below `/api/v1/`, percent-encoded.

        Returns:
            The answer, if it is whole within the seconds and no larger than `Limits.answer`; else what the lack of it
            means for a batch.

        Raises:
            SettingsError: a variable of the environment is in the way.
        """
        with self._lock:
            client = self._client
        method, headers = ("GET", self._headers) if body is None else ("POST", self._headers | _JSON)
        self._deadline.at = time.monotonic() + seconds
        timeout = dict.fromkeys(("read", "write", "pool"), seconds) | {"connect": min(self._limits.connect, seconds)}
        extensions = {"timeout": timeout, "trace": self._deadline.keep}
        try:
            request = httpx.Request(
                method, self._url(path), params=query, headers=headers, content=body, extensions=extensions
            )
            with contextlib.closing(client.send(request, stream=True)) as response:
                content = self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return self._meaning(error, seconds)
        headers = {name.decode("latin-1").lower(): self._text(value) for name, value in response.headers.raw}
        return Reply(response.status_code, headers, self._without_key(content))

    def _read(self, response: httpx.Response) -> bytes:
        pieces, size = [], 0
        for piece in response.iter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > self._limits.answer:
                raise _TooLargeError("")
        return b"".join(pieces)

    def _meaning(self, error: Exception, seconds: float) -> Away | Unknown:
        said = self._text(str(error).encode("utf-8", "replace"))[:500]
        if "CERTIFICATE_VERIFY_FAILED" in said:
            said += f": {surroundings.untrusted()}"
        words = f" ({said})" if said else ""
        match error:
            case _TooLargeError():
                return Unknown(f"it answers with more than {self._limits.answer / 2**20:g} MB")
            case (
                httpx.ConnectTimeout()
                | httpx.ConnectError()
                | httpx.PoolTimeout()
                | httpx.ProxyError()
                | httpx.InvalidURL()
                | UnicodeError()
            ):
                return Away(f"no connection{f' through {self._proxy}' if self._proxy else ''}{words}")
            case httpx.TimeoutException():
                return Unknown(f"no answer within {seconds:g} s")
            case _:
                return Unknown(f"the connection broke{words}")

    def _text(self, content: bytes) -> str:
        return self._without_key(content).decode(errors="replace")

    def _without_key(self, content: bytes) -> bytes:
        """Blot the key out of what others say, however it is quoted: as it is, or escaped as in a URL, JSON or HTML."""
        return self._key.sub("…".encode(), content)


class _TooLargeError(httpx.TransportError):
    pass


class _Deadline(threading.local):
    """Until when this thread's request may go on.

    httpx limits each step on the wire alone, so that an answer that comes byte by byte could take for ever. Its traces
    show each new connection; from then on the connection's steps end by the deadline.
    """

    at = 0.0

    def keep(self, event: str, info: Mapping[str, Any]) -> None:
        """Hold a new connection to the deadline; a trace of httpx's."""
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        stream = info["return_value"]
        read, write = stream.read, stream.write

        def write_pieces(buffer: bytes, timeout: float | None = None) -> None:
            for start in range(0, len(buffer), _PIECE):
                write(buffer[start : start + _PIECE], self._left(timeout))

        stream.read = lambda most, timeout=None: read(most, self._left(timeout))
        stream.write = write_pieces

    def _left(self, timeout: float | None) -> float:
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the answer takes too long")
        return left if timeout is None else min(left, timeout)


def _written(character: str) -> str:
    """The pattern of a character of the key, in each way that it may be written."""
    if character.isalnum() or character in "-_.~":
        return re.escape(character)
    code, name = ord(character), codepoint2name.get(ord(character), "apos")
    ways = f"%{code:02x}", rf"\\u00{code:02x}", rf"\\x{code:02x}", f"&#{code};", f"&#x{code:02x};", f"&{name};"
    return rf"(?i:\\?{re.escape(character)}|{'|'.join(ways)})"
