"""LiteLLM's `DATABASE_URL`, written for Prisma, as something libpq understands.

Prisma reads URLs as browsers do and discards what it doesn't know; libpq is stricter. So the part with the
secrets is taken apart here, leniently, and the rest is left to libpq. What neither of them knows is refused
rather than dropped.
"""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote

from reconciler.model.errors import SettingsError
from reconciler.model.guesses import meant

EXAMPLE = "postgresql://litellm:secret@db:5432/litellm"

# The names and roles of Prisma's parameters are those of its engine (quaint/src/connector/postgres/url.rs).
_POOLING = frozenset({
    "connection_limit", "max_connection_lifetime", "max_idle_connection_lifetime", "pgbouncer",
    "pool_timeout", "single_use_connections", "socket_timeout", "statement_cache_size",
})  # fmt: skip
# What other drivers call what libpq and Prisma have under these names.
_ELSEWHERE = {
    "currentschema": "schema", "search_path": "schema", "searchpath": "schema", "timeout": "connect_timeout",
    "pool_size": "connection_limit", "max_connections": "connection_limit", "username": "user", "database": "dbname",
    "ssl_ca": "sslrootcert", "sslca": "sslrootcert",
}  # fmt: skip
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_NUMBERS = frozenset({"connect_timeout", "port"})

# The user part reaches to the last `@`, as browsers have it, so that a bare `@` or `#` in a password works.
_URL = re.compile(
    r"(?:postgres(?:ql)?(?:\+\w+)?)://(?:(?P<user>[^/?]*)@)?(?P<hosts>[^/?@]*)(?:/(?P<name>[^/?@]*))?(?:\?(?P<query>.*))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Database:
    """Where a database is and how to log in.

    Attributes:
        conninfo: libpq's connection string, parameters sorted; it holds the password and is never shown.
        schema: the schema that Prisma's `schema` parameter names, else `public`.
        display: the address without password or parameters, for messages.
        variable: the setting that names it.
        connections: the most that may be open at once, Prisma's `connection_limit`; None if it is not said.
    """

    conninfo: str = field(repr=False)
    schema: str
    display: str
    variable: str = field(default="DATABASE_URL", compare=False)
    connections: int | None = None

    @classmethod
    def from_url(cls, url: str, variable: str = "DATABASE_URL") -> Self:
        """Read a URL as Prisma, SQLAlchemy or libpq write it.

        Args:
            url: such as `postgresql://litellm:secret@db:5432/litellm?schema=public&connection_limit=10`.
            variable: the name of the setting that holds it, for messages.

        Raises:
            SettingsError: it can't be understood. The message names the variable and never quotes the value.
        """
        # Imported here so that `reconcile --help` does not wait for it.
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        parts = _split(url, variable)
        name = quote(unquote(parts["name"] or ""), safe="")
        try:
            found = conninfo_to_dict(f"postgresql://{parts['hosts']}/{name}")
        except (ProgrammingError, ValueError):
            raise SettingsError(f"{variable} has a host or port that can't be read; {_shape()}") from None
        known = {str(key): str(value) for key, value in found.items()}
        user, _, password = (parts["user"] or "").partition(":")
        known |= {key: unquote(value) for key, value in (("user", user), ("password", password)) if value}

        parameters = _parameters(parts["query"] or "", variable)
        schema = parameters.pop("schema", "") or "public"
        limit = _limit(parameters.pop("connection_limit", ""), variable)
        known |= _without_prisma(parameters, variable)
        if "service" not in known:
            known.setdefault("dbname", "postgres")  # as Prisma has it; libpq would take the user's name
        try:
            if any("\0" in value for value in known.values()):
                raise ValueError  # noqa: TRY301 - libpq would take it for the end of the text
            conninfo = make_conninfo("", **dict(sorted(known.items())))
        except (ProgrammingError, ValueError):
            raise SettingsError(
                f"{variable} has a character that PostgreSQL can't take in a name or password; {_shape()}"
            ) from None
        _check_values(known, variable)
        return cls(conninfo, schema, _display(known), variable, limit)


def _limit(value: str, variable: str) -> int | None:
    if not value:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,5}", value):
        raise SettingsError(
            f"{variable}: its connection_limit must be a whole number above 0, as in connection_limit=5"
        )
    return int(value)


def _split(url: str, variable: str) -> dict[str, str | None]:
    url = url.strip()
    if not re.match(r"postgres(ql)?(\+\w+)?://", url, re.IGNORECASE):
        raise SettingsError(
            f"{variable} is not a PostgreSQL URL: it must begin with postgresql://, without quotes, as in {EXAMPLE}"
        )
    found = _URL.fullmatch(url)
    if not found or any(character.isspace() for character in url):
        raise SettingsError(f"{variable} can't be taken apart; {_shape()}")
    return found.groupdict()


def _parameters(query: str, variable: str) -> dict[str, str]:
    """Read the query's parameters, refusing names that neither Prisma nor libpq has."""
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    known |= _POOLING | {"schema", "sslaccept", "sslidentity"}
    parameters = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if name == "ssl" and value in {"true", "1"}:  # libpq understands it in URLs, as JDBC writes it
            name, value = "sslmode", "require"
        if not equals or name not in known:
            # With an "@" about, the "query" may be the rest of a password that holds a bare "?".
            if "@" in query or not re.fullmatch(r"\w{1,40}", name):
                raise SettingsError(f"{variable} has parameters that can't be read; {_shape()}")
            raise SettingsError(
                f"{variable} has the parameter {name!r}, which neither Prisma nor PostgreSQL's libpq knows: "
                f"{_advice(name, value, known)}"
            )
        if value:
            parameters[name] = unquote(value)
    return parameters


def _advice(name: str, value: str, known: set[str]) -> str:
    if name == "ssl":  # as other drivers write it
        mode = {"false": "disable", "0": "disable", "no-verify": "require"}.get(value, value)
        return f"write sslmode={mode if mode in _SSL_MODES else 'require'}"
    if found := meant(name, known) or _ELSEWHERE.get(name.lower()):
        return f"did you mean {found}?"
    return "take it out of the URL"


def _without_prisma(parameters: dict[str, str], variable: str) -> dict[str, str]:
    """Turn Prisma's TLS parameters into libpq's and drop those of its pool."""
    kept = {name: value for name, value in parameters.items() if name not in _POOLING}
    accept = kept.pop("sslaccept", "")
    if accept not in {"", "strict", "accept_invalid_certs"}:
        raise SettingsError(f"{variable}: sslaccept must be strict or accept_invalid_certs, as in sslaccept=strict")

    # Prisma's client certificate is a PKCS#12 file, which libpq can't read.
    if kept.pop("sslidentity", "") and "sslkey" not in kept:
        raise SettingsError(
            f"{variable} has a PKCS#12 file in sslidentity, which libpq can't read: convert it with "
            "`openssl pkcs12` and write sslcert=client.crt&sslkey=client.key&sslrootcert=ca.crt instead"
        )
    if "sslkey" not in kept:
        kept.pop("sslpassword", None)
        # Alone, sslcert is Prisma's: the authority to trust. Beside sslkey it is libpq's: the client's own.
        authority = kept.pop("sslcert", "")
        if authority and accept != "accept_invalid_certs":
            kept.setdefault("sslrootcert", authority)

    if accept == "strict" and kept.get("sslmode") not in {"disable", "verify-ca", "verify-full"}:
        kept["sslmode"] = "verify-full"
        kept.setdefault("sslrootcert", "system")
    elif accept == "accept_invalid_certs":
        kept.setdefault("sslmode", "require")
    return kept


def _check_values(known: dict[str, str], variable: str) -> None:
    """Refuse early what libpq would refuse at every connection, where its message could quote the value."""
    mode = known.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        raise SettingsError(f"{variable}: sslmode must be one of {', '.join(_SSL_MODES)}, as in sslmode=require")
    for name in _NUMBERS & known.keys():
        numbers = known[name].split(",") if name == "port" else [known[name]]
        largest = 65_535 if name == "port" else 2**31 - 1
        if not all(not n or (n.isascii() and n.isdigit() and int(n[:11]) <= largest) for n in numbers):
            raise SettingsError(f"{variable}: its {name} must be a whole number; {_shape()}")


def _display(known: dict[str, str]) -> str:
    user = f"{quote(known['user'], safe='')}@" if known.get("user") else ""
    hosts = known.get("host", known.get("hostaddr", "")).split(",")
    ports = known.get("port", "").split(",")
    if len(ports) < len(hosts):  # libpq: one port holds for all hosts
        ports = [ports[0]] * len(hosts)
    addresses = [
        (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
        for host, port in zip(hosts, ports, strict=False)
    ]
    return f"postgresql://{user}{','.join(addresses)}/{quote(known.get('dbname', ''), safe='')}"


def _shape() -> str:
    return (
        f"write it as in {EXAMPLE} and percent-encode special characters in user, password and database "
        "name: @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, & as %26, % as %25, a blank as %20"
    )
