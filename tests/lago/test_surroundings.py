"""Variables that httpx and OpenSSL read: each that is in the way is named in one sentence, and planning goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.lago.answers import Away
from reconciler.model.errors import SettingsError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.lago.conftest import Connect
from tests.process import run, sentences, start
from tests.support import EVENTS, assert_exact, environment

TOP = Path(__file__).parents[2]

HUSH = "pass-word-that-nobody-may-see"


@pytest.fixture(autouse=True)
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def told(connect: Connect, base: str) -> str:
    """The sentence by which the first request ends."""
    with pytest.raises(SettingsError) as error:
        connect(base).post(["r1_a"], "{}")
    assert HUSH not in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "socks4://proxy",
        "ftp://proxy",
        "http://",
        "://",
        "http://proxy:99999",
        "http://proxy:0",
        "http://proxy:-1",
        f"http://user:{HUSH}/x@proxy:3128",
        "http://ho st",
        "http://[::1",
        f"http://user:{HUSH}@{'a' * 80}:3128",
        "\udcff",
    ],
)
def test_what_is_no_proxy_is_said_by_the_name_of_its_variable(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    sentence = told(connect, "http://lago.example:3000")
    assert sentence.startswith(f"{variable} is not the address of a proxy: write it such as http://proxy.example.com:")
    assert "NO_PROXY=lago.example" in sentence


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", f"socks5h://user:{HUSH}@proxy"])
def test_a_socks_proxy_needs_a_package_and_the_sentence_says_which(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    sentence = told(connect, "https://lago.example")
    assert sentence.startswith("ALL_PROXY names a SOCKS proxy")
    assert "httpx[socks]" in sentence


@pytest.mark.parametrize(
    ("base", "excepted"),
    [
        ("http://lago.example:3000", "*"),
        ("http://lago.example:3000", "lago.example"),
        ("http://lago.example:3000", ".example"),
        ("http://lago.example:3000", "a, example:3000 ,b"),
        ("http://[::1]:3000", "::1"),
        ("http://[::1]:3000", "[::1]"),
        ("http://127.0.0.1:3000", "127.0.0.1"),
    ],
)
def test_a_bad_proxy_that_lago_is_excepted_from_is_in_nobodys_way(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, base: str, excepted: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://proxy")
    monkeypatch.setenv("NO_PROXY", excepted)
    connect(base)


@pytest.mark.parametrize("excepted", ["[::1", "http://:x", "\udcff", ",,"])
def test_a_strange_no_proxy_breaks_nothing(
    lago: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch, excepted: str
) -> None:
    monkeypatch.setenv("NO_PROXY", excepted)
    assert connect(lago.url, lago.api_key).store() == "postgres"


def test_only_the_proxy_of_the_address_matters(
    lago: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://proxy")
    assert connect(lago.url, lago.api_key).store() == "postgres"


def test_a_proxy_that_is_away_is_named_without_its_password(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"user:{HUSH}@127.0.0.1:1")
    answer = connect("http://lago.example").post(["r1_a"], "{}")
    assert answer == Away("no connection through http_proxy (http://127.0.0.1:1) ([Errno 111] Connection refused)")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere"),
        ("SSL_CERT_FILE", "{garbage}"),
        ("SSL_CERT_FILE", "{folder}"),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_DIR", "/nowhere"),
        ("SSL_CERT_DIR", "{garbage}"),
        ("SSLKEYLOGFILE", "{folder}"),
        ("SSLKEYLOGFILE", "/nowhere/log"),
    ],
)
def test_what_tls_cannot_use_is_said_by_the_name_of_its_variable(
    connect: Connect, lago: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    monkeypatch.setenv(variable, value.format(garbage=garbage, folder=tmp_path))
    assert told(connect, "https://lago.example").startswith(f"{variable} names ")
    assert connect(lago.url, lago.api_key).store() == "postgres", "plain http needs none of it"


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A file of OpenSSL's settings that leaves it without what it needs: only old algorithms, which are not there."""
    path = tmp_path / "openssl.cnf"
    path.write_text("openssl_conf = a\n[a]\nproviders = b\n[b]\nlegacy = c\n[c]\nactivate = 1\n")
    return str(path)


@pytest.mark.proof
def test_settings_of_openssl_that_leave_nothing_are_told_in_a_sentence_and_no_file_is_no_trouble(
    proxy_db: Database, lago: Sandbox, broken: str
) -> None:
    """In processes of their own: OpenSSL reads them once."""
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)
    failing = start(environ | {"OPENSSL_CONF": broken}, "--since", "2h")
    _, err = failing.communicate(timeout=60)
    assert failing.returncode == 1
    assert err.count("\n") == 1, err
    assert "OPENSSL_CONF" in err

    without = start(environ | {"OPENSSL_CONF": "/nowhere"}, "--since", "2h")
    _, err = without.communicate(timeout=60)
    assert (without.returncode, err) == (0, "")
    assert_exact(proxy_db, lago)


def test_a_client_names_the_variable_by_which_openssl_cannot_work(broken: str, lago: Sandbox) -> None:
    asked = "from reconciler.lago.surroundings import trust; trust('http://lago.example', None)"
    found = subprocess.run(
        [sys.executable, "-c", asked],
        env={"PYTHONPATH": str(TOP), "OPENSSL_CONF": broken},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr.splitlines()[-1].startswith("reconciler.model.errors.SettingsError: OpenSSL can't work")
    assert "mend or unset what OPENSSL_CONF names." in found.stderr


@pytest.mark.proof
def test_a_proxy_that_cannot_be_used_stops_only_delivery(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)
    finished = run(environ | {"ALL_PROXY": "socks5://127.0.0.1:1080", "NO_PROXY": ""}, "--since", "2h")
    assert finished.returncode == 1
    assert sentences(finished)[0].startswith("ALL_PROXY names a SOCKS proxy")
    assert "Traceback" not in finished.stderr
    assert "planned 1 event" in finished.stdout
    assert proxy_db.fetch(f"SELECT state FROM {EVENTS}") == [("planned",)]
    assert run(environ).returncode == 0
    assert_exact(proxy_db, lago)
