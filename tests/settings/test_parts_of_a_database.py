"""Where DATABASE_URL is not set, LiteLLM's own variables for its parts are read, as the proxy reads them."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from reconciler.database.address import Database
from reconciler.model.errors import SettingsError
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import Database as Proxy
from tests.process import sentences
from tests.support import environment

PARTS = {"DATABASE_HOST": "db", "DATABASE_USERNAME": "litellm", "DATABASE_PASSWORD": "p", "DATABASE_NAME": "spend"}
TOLD = {"host": "db", "port": "5432", "user": "litellm", "password": "p", "dbname": "spend"}


@pytest.fixture
def without(enough: dict[str, str]) -> dict[str, str]:
    """What is required, but for a database."""
    return {name: value for name, value in enough.items() if name != "DATABASE_URL"}


def source(environ: dict[str, str]) -> Database:
    return load_settings(environ=environ).source


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({}, {}),
        ({"DATABASE_PORT": "6432"}, {"port": "6432"}),
        ({"DATABASE_HOST": "db:5433"}, {"port": "5433"}),
        ({"DATABASE_HOST": "db:5433", "DATABASE_PORT": "1"}, {"port": "5433"}),
        ({"DATABASE_HOST": "::1"}, {"host": "::1"}),
        ({"DATABASE_HOST": "[::1]:5433"}, {"host": "::1", "port": "5433"}),
        ({"DATABASE_HOST": "/var/run"}, {"host": "/var/run"}),
        ({"DATABASE_PASSWORD": " p@/?#%&+ü "}, {"password": " p@/?#%&+ü "}),
        ({"DATABASE_USERNAME": "a@b", "DATABASE_NAME": "a/b"}, {"user": "a@b", "dbname": "a/b"}),
        ({"DATABASE_USERNAME": "", "DATABASE_USER": "u"}, {"user": "u"}),
        ({"DATABASE_USER": "litellm"}, {}),
        ({"DATABASE_SSLMODE": "require"}, {"sslmode": "require"}),
        ({"DATABASE_SSLROOTCERT": "/a b.pem"}, {"sslmode": "verify-full", "sslrootcert": "/a b.pem"}),
        ({"IAM_TOKEN_DB_AUTH": "False"}, {}),
    ],
)
def test_the_parts_make_the_url(without: dict[str, str], parts: dict[str, str], told: dict[str, str]) -> None:
    assert dict(conninfo_to_dict(source(without | PARTS | parts).conninfo)) == TOLD | told


def test_a_password_may_be_left_out_and_a_schema_may_be_named(without: dict[str, str]) -> None:
    found = source(without | PARTS | {"DATABASE_PASSWORD": "", "DATABASE_SCHEMA": "llm"})
    assert (found.schema, found.display) == ("llm", "postgresql://litellm@db:5432/spend")


def test_a_url_goes_before_the_parts_wherever_it_is(enough: dict[str, str], folder: Path) -> None:
    assert source(enough | PARTS | {"IAM_TOKEN_DB_AUTH": "true"}).display == "postgresql://litellm@db:5432/litellm"
    del enough["DATABASE_URL"]
    (folder / "reconcile.toml").write_text('database_url = "postgresql://file/x"')
    assert source(enough | PARTS).display == "postgresql://file/x"


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"DATABASE_NAME": ""}, "DATABASE_HOST is set without DATABASE_NAME: set these, too, or DATABASE_URL"),
        (
            {"DATABASE_NAME": "", "DATABASE_USERNAME": ""},
            "DATABASE_HOST is set without DATABASE_USER and DATABASE_NAME: set these, too, or DATABASE_URL",
        ),
        ({"DATABASE_USER": "other"}, "DATABASE_USER and DATABASE_USERNAME differ: set one of them, or DATABASE_URL"),
        ({"IAM_TOKEN_DB_AUTH": "True"}, "IAM_TOKEN_DB_AUTH: the proxy logs in with a token that LiteLLM makes"),
        ({"AZURE_POSTGRESQL_AUTH": "1"}, "AZURE_POSTGRESQL_AUTH: the proxy logs in with a token that LiteLLM makes"),
        ({"DATABASE_PORT": "many"}, "DATABASE_HOST: its port must be a whole number"),
        ({"DATABASE_HOST": "d b"}, "DATABASE_HOST is no host: write"),
        ({"DATABASE_SSLMODE": "yes"}, "DATABASE_HOST: sslmode must be one of"),
        ({"DATABASE_PASSWORD": "hush\udcff"}, "DATABASE_HOST or another of its variables is not text"),
        ({"DATABASE_HOST": ""}, "DATABASE_URL is not set, nor is DATABASE_HOST: give the proxy's database"),
    ],
)
def test_what_the_parts_lack_is_one_sentence(without: dict[str, str], parts: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as error:
        source(without | PARTS | parts)
    (fault,) = str(error.value).splitlines()
    assert fault.startswith(says)
    assert "hush" not in fault


def test_a_database_in_parts_is_billed_and_named_by_its_variable(proxy_db: Proxy, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    told = conninfo_to_dict(environ.pop("DATABASE_URL"))
    environ |= {
        "DATABASE_HOST": str(told["host"]), "DATABASE_PORT": str(told["port"]), "DATABASE_NAME": str(told["dbname"]),
        "DATABASE_USERNAME": str(told["user"]), "DATABASE_PASSWORD": str(told["password"]),
    }  # fmt: skip
    assert run(environ).returncode == 0
    refused = run(environ | {"DATABASE_PASSWORD": "wrong", "DATABASE_NAME": "nowhere"})
    [sentence] = sentences(refused)
    assert sentence.startswith(f"DATABASE_HOST (postgresql://{told['user']}@{told['host']}:{told['port']}/nowhere)")
