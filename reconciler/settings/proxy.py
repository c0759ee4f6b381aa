"""The proxy's database as LiteLLM's own variables tell it in parts, where `DATABASE_URL` is not set.

LiteLLM puts `DATABASE_HOST`, `DATABASE_PORT`, `DATABASE_USER` (or `DATABASE_USERNAME`), `DATABASE_PASSWORD`,
`DATABASE_NAME`, `DATABASE_SCHEMA`, `DATABASE_SSLMODE` and `DATABASE_SSLROOTCERT` together as here. A cloud's token in
place of the password is made by LiteLLM alone.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from reconciler.database.address import EXAMPLE

HOST = "DATABASE_HOST"
NAMES = (
    HOST, "DATABASE_PORT", "DATABASE_USER", "DATABASE_USERNAME", "DATABASE_PASSWORD", "DATABASE_NAME",
    "DATABASE_SCHEMA", "DATABASE_SSLMODE", "DATABASE_SSLROOTCERT",
)  # fmt: skip
_TOKENS = ("IAM_TOKEN_DB_AUTH", "AZURE_POSTGRESQL_AUTH")
_OFF = frozenset({"", "0", "f", "false", "n", "no", "off"})


def url_of_parts(environ: Mapping[str, str]) -> str | None:
    """The URL that the parts make; None if there is no `DATABASE_HOST`.

    Raises:
        ValueError: parts are missing or disagree, or the password is a token; the sentence says what to do.
    """
    told = {name: environ.get(name, "").strip() for name in NAMES}
    if not told[HOST]:
        return None
    if any("\ud800" <= character <= "\udfff" for character in "".join(told.values())):
        raise ValueError(f"{HOST} or another of its variables is not text in UTF-8: write them again")
    for token in _TOKENS:
        if environ.get(token, "").strip().lower() not in _OFF:
            raise ValueError(
                f"{token}: the proxy logs in with a token that LiteLLM makes for some minutes, and nobody else can: "
                f"make a role with a password, and set DATABASE_URL, such as {EXAMPLE}"
            )
    user = told["DATABASE_USER"] or told["DATABASE_USERNAME"]
    if told["DATABASE_USERNAME"] not in {"", user}:
        raise ValueError("DATABASE_USER and DATABASE_USERNAME differ: set one of them, or DATABASE_URL")
    missing = [name for name, value in (("DATABASE_USER", user), ("DATABASE_NAME", told["DATABASE_NAME"])) if not value]
    if missing:
        raise ValueError(f"{HOST} is set without {' and '.join(missing)}: set these, too, or DATABASE_URL")
    if not re.fullmatch(r"[^\s@?#]+", told[HOST]):
        raise ValueError(f"{HOST} is no host: write its name or address, such as db or 10.0.0.7")
    password = environ.get("DATABASE_PASSWORD", "")
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    mode = told["DATABASE_SSLMODE"] or ("verify-full" if told["DATABASE_SSLROOTCERT"] else "")
    parameters = {"schema": told["DATABASE_SCHEMA"], "sslmode": mode, "sslrootcert": told["DATABASE_SSLROOTCERT"]}
    query = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)
    return f"postgresql://{login}@{_address(told)}/{quote(told['DATABASE_NAME'], safe='')}?{query}"


def _address(told: Mapping[str, str]) -> str:
    """Host and port; a host may bring its port along."""
    host = told[HOST]
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    if re.search(r"[^:]:[0-9]+$", host) and not host.endswith("]"):
        return quote(host, safe=":[]")
    return f"{quote(host, safe=':[]')}:{quote(told['DATABASE_PORT'], safe='') or 5432}"
