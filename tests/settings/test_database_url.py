"""LiteLLM's database URLs become libpq's, and no password is ever shown."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from reconciler.database.address import Database
from reconciler.model.errors import SettingsError


def told(url: str) -> dict[str, object]:
    return dict(conninfo_to_dict(Database.from_url(url).conninfo))


BASE = {"user": "u", "password": "p", "host": "db", "dbname": "litellm"}


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", {}),
        ("?", {}),
        ("?schema=public&connection_limit=10&pool_timeout=60&pgbouncer=true&statement_cache_size=0", {}),
        (
            "?socket_timeout=3&max_connection_lifetime=9&max_idle_connection_lifetime=9&single_use_connections=true",
            {},
        ),
        ("?connect_timeout=10&application_name=a%20b", {"connect_timeout": "10", "application_name": "a b"}),
        ("?sslmode=require&channel_binding=require", {"sslmode": "require", "channel_binding": "require"}),
        ("?options=-c%20search_path%3Dx", {"options": "-c search_path=x"}),
        ("?ssl=true", {"sslmode": "require"}),
        ("?sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        (
            "?sslaccept=strict&sslmode=require&sslcert=ca.pem",
            {"sslmode": "verify-full", "sslrootcert": "ca.pem"},
        ),
        (
            "?sslaccept=strict&sslmode=verify-ca&sslrootcert=ca.pem",
            {"sslmode": "verify-ca", "sslrootcert": "ca.pem"},
        ),
        ("?sslaccept=strict&sslmode=disable", {"sslmode": "disable"}),
        ("?sslaccept=accept_invalid_certs&sslcert=ca.pem", {"sslmode": "require"}),
        ("?sslaccept=accept_invalid_certs&sslmode=prefer", {"sslmode": "prefer"}),
        ("?sslcert=ca.pem", {"sslrootcert": "ca.pem"}),
        (
            "?sslcert=me.pem&sslkey=me.key&sslpassword=k&sslidentity=me.p12",
            {"sslcert": "me.pem", "sslkey": "me.key", "sslpassword": "k"},
        ),
    ],
)
def test_keeps_what_libpq_knows_and_translates_prisma(query: str, kept: dict[str, str]) -> None:
    assert told(f"postgresql://u:p@db/litellm{query}") == BASE | kept


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg", "POSTGRESQL"])
def test_takes_each_scheme(scheme: str) -> None:
    assert told(f"{scheme}://u:p@db/litellm") == BASE


@pytest.mark.parametrize(
    ("url", "kept", "display"),
    [
        (
            "postgresql://u@[::1]:5433/d",
            {"user": "u", "host": "::1", "port": "5433", "dbname": "d"},
            "u@[::1]:5433/d",
        ),
        (
            "postgresql://u:@h1:1,h2:2/d",
            {"user": "u", "host": "h1,h2", "port": "1,2", "dbname": "d"},
            "u@h1:1,h2:2/d",
        ),
        ("postgresql:///d?host=/var/run", {"host": "/var/run", "dbname": "d"}, "%2Fvar%2Frun/d"),
        ("postgresql://u@localhost/d?host=/s", {"user": "u", "host": "/s", "dbname": "d"}, "u@%2Fs/d"),
        (
            "postgresql://u@%2Fvar%2Frun/d",
            {"user": "u", "host": "/var/run", "dbname": "d"},
            "u@%2Fvar%2Frun/d",
        ),
        ("postgresql://db", {"host": "db", "dbname": "postgres"}, "db/postgres"),
        ("postgresql:///?service=prod", {"service": "prod"}, "/"),
        (
            "postgresql://h/d?user=u&password=p",
            {"user": "u", "password": "p", "host": "h", "dbname": "d"},
            "u@h/d",
        ),
        (" postgresql://h/a%2Fb\n", {"host": "h", "dbname": "a/b"}, "h/a%2Fb"),
    ],
)
def test_finds_the_host(url: str, kept: dict[str, str], display: str) -> None:
    assert told(url) == kept
    assert Database.from_url(url).display == f"postgresql://{display}"


def test_takes_the_most_connections() -> None:
    assert Database.from_url("postgresql://db/d?connection_limit=3&pool_timeout=1").connections == 3
    assert Database.from_url("postgresql://db/d").connections is None


def test_takes_the_schema() -> None:
    assert Database.from_url("postgresql://db/d?schema=llm").schema == "llm"
    assert Database.from_url("postgresql://db/d").schema == "public"


@pytest.mark.parametrize("password", ["a@b", "a#b", "100%", "a:b", "a%zz", "[x]", "a+b", "p@@#"])
def test_takes_a_bare_password_where_it_is_not_ambiguous(password: str) -> None:
    assert told(f"postgresql://u:{password}@db/litellm") == BASE | {"password": password}


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(names, names, names)
def test_percent_encoded_text_comes_back(user: str, password: str, name: str) -> None:
    found = told(f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@db/{quote(name, safe='')}")
    assert found == {"user": user, "password": password, "host": "db", "dbname": name}


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"mysql://u:{SECRET}@h/d", "begin with postgresql://"),
        (f"'postgresql://u:{SECRET}@h/d'", "without quotes"),
        ("", "begin with postgresql://"),
        (f"postgresql://u:{SECRET}/x@h/d", "/ as %2F"),
        (f"postgresql://u:{SECRET}?x@h/d", "\\? as %3F"),
        (f"postgresql://u:x?{SECRET}@h/d", "\\? as %3F"),
        (f"postgresql://u:x?{SECRET}=1@h/d", "\\? as %3F"),
        (f"postgresql://u:@x/{SECRET}@h/d", "/ as %2F"),
        (f"postgresql://u:{SECRET} x@h/d", "a blank as %20"),
        (f"postgresql://u:{SECRET}%00@h/d", "character"),
        (f"postgresql://u:{SECRET}\udce9@h/d", "character"),
        (f"postgresql://u:{SECRET}@h:x/d", "port"),
        (f"postgresql://u:{SECRET}@h:65536/d", "port"),
        (f"postgresql://u:{SECRET}@[::1/d", "host or port"),
        (f"postgresql://u:{SECRET}@h%zz/d", "host or port"),
        (f"postgresql://u:{SECRET}@h/d?connect_timeout=soon", "connect_timeout"),
        (f"postgresql://u:{SECRET}@h/d?sslmode=no-verify", "verify-full"),
        (f"postgresql://u:{SECRET}@h/d?sslaccept=maybe", "accept_invalid_certs"),
        (f"postgresql://u:{SECRET}@h/d?sslidentity=me.p12", "openssl pkcs12"),
        (f"postgresql://u:{SECRET}@h/d?connection_limt=1", "did you mean connection_limit"),
        (f"postgresql://u:{SECRET}@h/d?foo=1", "take it out"),
        (f"postgresql://u:{SECRET}@h/d?ssl=require", "write sslmode=require"),
        (f"postgresql://u:{SECRET}@h/d?ssl=no-verify", "write sslmode=require"),
        (f"postgresql://u:{SECRET}@h/d?ssl=false", "write sslmode=disable"),
        (f"postgresql://u:{SECRET}@h/d?sslMode=require", "did you mean sslmode"),
        (f"postgresql://u:{SECRET}@h/d?currentSchema=x", "did you mean schema"),
        (f"postgresql://u:{SECRET}@h/d?pool_size=5", "did you mean connection_limit"),
        (f"postgresql://u:{SECRET}@h/d?tls=1", "take it out"),
        (f"postgresql://u:{SECRET}@h/d?connection_limit=few", "connection_limit=5"),
        (f"postgresql://u:{SECRET}@h/d?connection_limit=0", "connection_limit=5"),
    ],
)
def test_says_what_is_wrong_in_one_sentence_without_the_secret(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as error:
        Database.from_url(url, "RECONCILE_LEDGER_URL")
    message = str(error.value)
    assert "RECONCILE_LEDGER_URL" in message
    assert SECRET not in message
    assert "\n" not in message


@given(st.text(max_size=60))
def test_never_fails_otherwise(text: str) -> None:
    for url in (text, f"postgresql://{text}", f"postgresql://u:{text}@h/d", f"postgresql://h/d?{text}"):
        try:
            Database.from_url(url)
        except SettingsError as error:
            assert "DATABASE_URL" in str(error)  # noqa: PT017


def test_shows_no_password() -> None:
    database = Database.from_url(f"postgresql://u:{SECRET}@h/d?sslkey=k&sslpassword={SECRET}")
    assert SECRET in database.conninfo
    assert SECRET not in repr(database) + str(database) + database.display
