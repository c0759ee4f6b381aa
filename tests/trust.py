"""The world's certificates, read once: each of httpx's clients reads them anew, which takes longer than a pass."""

import os
import ssl
from functools import cache
from typing import Any

import httpx
import httpx._transports.default as transports
import pytest

_make = httpx.create_ssl_context


@cache
def _worlds() -> ssl.SSLContext:
    return _make()


def _shared(*, verify: Any, cert: Any, trust_env: bool) -> ssl.SSLContext:
    own = trust_env and (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"))
    return _worlds() if verify is True and not (cert or own) else _make(verify, cert, trust_env)


def share(patch: pytest.MonkeyPatch) -> None:
    """Let clients that trust what httpx trusts by itself share one context, from here on and in every fork."""
    _worlds()
    patch.setattr(transports, "create_ssl_context", _shared)
