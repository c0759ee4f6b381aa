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
def _by_itself(trust_env: bool, _file: str | None, _folder: str | None) -> ssl.SSLContext:
    """What httpx trusts by itself, with these two settings of the environment."""
    return _make(trust_env=trust_env)


def _shared(*, verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    if verify is not True or cert:
        return _make(verify, cert, trust_env)
    return _by_itself(trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def share(patch: pytest.MonkeyPatch) -> None:
    """Let clients that trust what httpx trusts by itself share one context, from here on and in every fork."""
    _shared()
    patch.setattr(transports, "create_ssl_context", _shared)
