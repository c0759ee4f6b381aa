"""What the environment says of the way to Lago or a webhook: which proxy to go through, whose certificates to trust.

The variables are those that most programs read: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in lower
case; `SSL_CERT_FILE`, `SSL_CERT_DIR`, `SSLKEYLOGFILE` and `OPENSSL_CONF`. What is wrong with one is said by its name,
and its value is not quoted: a proxy's address may hold a password.
"""

import os
import re
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from reconciler.model.errors import SettingsError


class Proxy(NamedTuple):
    """A proxy, and the setting that names it."""

    proxy: httpx.Proxy
    variable: str

    def __str__(self) -> str:
        """Its setting and its address, without a password."""
        url = self.proxy.url
        return f"{self.variable} ({url.scheme}://{url.host}{f':{url.port}' if url.port else ''})"


def proxy_to(base: str, what: str = "Lago", *, secret: bool = False) -> Proxy | None:
    """The proxy that requests to an address go through; None if they go there directly.

    Args:
        base: the address.
        what: a word for what is reached there.
        secret: no sentence quotes the address.

    Raises:
        SettingsError: the variable that names it doesn't hold a proxy's address, or one that can't be used.
    """
    address = urlsplit(base)
    bare = (address.hostname or "", f"{address.hostname}:{address.port}")
    if any(proxy_bypass(host) for host in (address.netloc, *bare)):
        return None
    told = getproxies()
    key = next((each for each in (address.scheme, "all") if told.get(each, "").strip()), None)
    if key is None:
        return None
    names = (f"{key}_proxy", f"{key.upper()}_PROXY")
    variable = next((name for name in names if os.environ.get(name)), "the system's proxy setting")
    instead = f"or except {what} from it{' by NO_PROXY' if secret else f', such as NO_PROXY={address.hostname}'}"
    value = told[key].strip()
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
        port = proxy.url.port
        sound = re.fullmatch(r"[\w.:-]+", proxy.url.host) and (port is None or 0 < port <= 65_535)
        proxy.url.raw_host.decode().encode("idna")
    except (ValueError, httpx.InvalidURL):
        sound = None
    if not sound:
        raise SettingsError(
            f"{variable} is not the address of a proxy: write it such as http://proxy.example.com:3128, {instead}."
        )
    if proxy.url.scheme.startswith("socks") and not find_spec("socksio"):
        raise SettingsError(
            f"{variable} names a SOCKS proxy, for which a package is missing: `pip install 'httpx[socks]'` adds it; "
            f"name an http:// proxy instead, {instead}."
        )
    return Proxy(proxy, variable)


def trust(base: str, proxy: Proxy | None, what: str = "Lago") -> ssl.SSLContext:
    """The certificates by which an address, or a proxy on the way, is known; none where nothing speaks TLS.

    Args:
        base: the address.
        proxy: what `proxy_to` returned.
        what: a word for what is reached there.

    Raises:
        SettingsError: a variable names a file or a folder that can't be used.
    """
    try:
        none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except ssl.SSLError as error:
        cure = "mend or unset what OPENSSL_CONF names" if os.environ.get("OPENSSL_CONF") else "mend its openssl.cnf"
        raise SettingsError(f"OpenSSL can't work as it is configured ({_why(error)}): {cure}.") from None
    if not (base.startswith("https:") or (proxy and proxy.proxy.url.scheme == "https")):
        return none
    file, folder, log = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"))
    if folder and not file and not any(Path(each).is_dir() for each in folder.split(os.pathsep)):
        raise SettingsError("SSL_CERT_DIR names no folder: name one with certificates, such as /etc/ssl/certs.")
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:  # that of a certificate is an OSError, too
        why = _why(error)
        if log and getattr(error, "filename", None) == log:
            raise SettingsError(f"SSLKEYLOGFILE names a file that can't be written ({why}): unset it.") from None
        if file:
            example = "name a file of certificates in PEM, such as /etc/ssl/certs/ca-certificates.crt"
            raise SettingsError(f"SSL_CERT_FILE names a file that can't be used ({why}): {example}.") from None
        raise SettingsError(
            f"The certificates that {what} is known by can't be loaded ({why}): set SSL_CERT_FILE."
        ) from None


def _why(error: Exception) -> str:
    return re.sub(r" \(_ssl\.c:\d+\)$", "", getattr(error, "strerror", None) or str(error))


def untrusted() -> str:
    """What to do where a certificate was not trusted."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if told := os.environ.get(name):
            return f"{name} ({told}) does not hold the authority that signed its certificate: add it there"
    return "if the authority that signed its certificate is your own, name its file in SSL_CERT_FILE"
