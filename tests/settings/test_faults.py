"""Each fault is one sentence that names the variable and gives an example; none shows a secret."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.model.errors import SettingsError
from reconciler.settings.load import load_settings


def faults(environ: dict[str, str], **overrides: object) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load_settings(environ=environ, overrides=overrides)
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("variable", "value", "example"),
    [
        ("DATABASE_URL", "mysql://db", "postgresql://litellm:secret@db:5432/litellm"),
        ("LAGO_API_BASE", "lago.example", "https://api.getlago.com"),
        ("LAGO_API_BASE", "ftp://lago.example", "https://api.getlago.com"),
        ("LAGO_API_BASE", "https://", "https://api.getlago.com"),
        ("LAGO_API_BASE", "http://lago:port", "https://api.getlago.com"),
        ("LAGO_API_BASE", "http://lago example", "https://api.getlago.com"),
        ("LAGO_API_BASE", "http://[::1", "https://api.getlago.com"),
        ("LAGO_API_BASE", f"https://{'a' * 64}.example", "https://api.getlago.com"),
        ("LAGO_API_BASE", "https://lago..example", "https://api.getlago.com"),
        ("LAGO_API_BASE", "https://lago.example?a=b", "https://api.getlago.com"),
        ("LAGO_API_KEY", "two words", "00000000-0000"),
        ("LAGO_API_KEY", "two\nlines", "00000000-0000"),
        ("LAGO_API_KEY", "kéy", "00000000-0000"),
        ("LAGO_API_EVENT_CODE", "a\nb", "openai_tokens"),
        ("LAGO_API_CHARGE_BY", "end_user", "end_user_id, user_id or team_id"),
        ("RECONCILE_METER", "a b", "proxy-eu"),
        ("RECONCILE_METER", "x" * 64, "proxy-eu"),
        ("RECONCILE_LEDGER_URL", "sqlite:///x", "postgresql://litellm:secret@db:5432/litellm"),
        ("RECONCILE_WINDOW", "7m", "15m"),
        ("RECONCILE_WINDOW", "30s", "15m"),
        ("RECONCILE_WINDOW", "2d", "15m"),
        ("RECONCILE_WINDOW", "quarter", "15m"),
        ("RECONCILE_SETTLE", "-1m", "15m"),
        ("RECONCILE_LOOKBACK", "1", "15m"),
        ("RECONCILE_HORIZON", "1m", "35d and 1h"),
        ("RECONCILE_INTERVAL", "0s", "60s"),
        ("RECONCILE_STATEMENT_TIMEOUT", "2d", "60s"),
        ("RECONCILE_SUBSCRIPTION", "litellm", "litellm-{id}"),
        ("RECONCILE_SUBSCRIPTION", "{id}-{team}", "litellm-{id}"),
        ("RECONCILE_MAPPING", "table:subscriptions", "table:billing.subscriptions"),
        ("RECONCILE_MAPPING", "table:a.b.c", "table:billing.subscriptions"),
        ("RECONCILE_MODEL_COLUMN", "model_id", "model, model_group or none"),
        ("RECONCILE_CACHE_HITS", "maybe", "true or false"),
        ("RECONCILE_EXCLUDE", "internal", "team:internal"),
        ("RECONCILE_EXCLUDE", "org:internal", "team:internal"),
        ("RECONCILE_EXCLUDE", "team:", "team:internal"),
        ("RECONCILE_PROPERTIES", "all", "documented, callback or both"),
        ("RECONCILE_PRECISE_CENTS", "2", "true or false"),
        ("RECONCILE_CLOSED_PERIOD", "drop", "hold, send or move"),
        ("RECONCILE_EVENT_FIELD", "customer", "external_subscription_id or external_customer_id"),
        ("RECONCILE_RATE", "0", "such as 5"),
        ("RECONCILE_RATE", "inf", "such as 5"),
        ("RECONCILE_RATE", "fast", "such as 5"),
        ("RECONCILE_HTTP", "9464", "127.0.0.1:9464"),
        ("RECONCILE_HTTP", "::1:9464", "[::1]:9464"),
        ("RECONCILE_HTTP", "localhost:99999", "127.0.0.1:9464"),
        ("RECONCILE_HTTP_TOKEN", "to ken", "write the key alone"),
    ],
)
def test_names_the_variable_and_an_example(enough: dict[str, str], variable: str, value: str, example: str) -> None:
    (fault,) = faults(enough | {variable: value})
    assert fault.startswith(variable)
    assert example in fault


def test_tells_all_that_is_missing() -> None:
    assert [re.split(" is not set[:,] ", fault)[0] for fault in faults({})] == [
        "DATABASE_URL",
        "LAGO_API_BASE",
        "LAGO_API_KEY",
        "LAGO_API_EVENT_CODE",
    ]
    assert faults({"LAGO_API_KEY": " "})[2].startswith("LAGO_API_KEY is not set: ")


def test_tells_all_that_is_wrong(enough: dict[str, str]) -> None:
    del enough["LAGO_API_BASE"]
    found = faults(enough | {"RECONCILE_WINDOW": "7m", "RECONCILE_RATE": "x", "RECONCILE_INTERVL": "1m"})
    assert sorted(fault.split(":")[0].split(" ")[0] for fault in found) == [
        "LAGO_API_BASE",
        "RECONCILE_INTERVL",
        "RECONCILE_RATE",
        "RECONCILE_WINDOW",
    ]


def test_a_misspelt_variable_is_not_ignored(enough: dict[str, str]) -> None:
    (fault,) = faults(enough | {"RECONCILE_LOOK_BACK": "1h"})
    assert fault == "RECONCILE_LOOK_BACK is not a setting: did you mean RECONCILE_LOOKBACK?"


def test_a_misspelt_key_is_not_ignored(enough: dict[str, str], folder: Path) -> None:
    (folder / "reconcile.toml").write_text('look_back = "1h"\nzzz = 1')
    assert faults(enough) == [
        "look_back in reconcile.toml is not a setting: did you mean lookback?",
        "zzz in reconcile.toml is not a setting: remove it, or see the list of settings in README.md",
    ]


def test_a_key_in_capitals_is_misspelt_too(enough: dict[str, str], folder: Path) -> None:
    (folder / "reconcile.toml").write_text('Window = "1h"')
    assert faults(enough) == ["Window in reconcile.toml is not a setting: did you mean window?"]


def test_a_port_that_is_not_kubernetes_own_is_misspelt(enough: dict[str, str]) -> None:
    (fault,) = faults(enough | {"RECONCILE_HTTP_PORT": "9000"})
    assert fault.startswith("RECONCILE_HTTP_PORT is not a setting: did you mean RECONCILE_HTTP")


def test_kubernetes_own_variables_are_no_misspellings(enough: dict[str, str]) -> None:
    links = {
        "RECONCILE_SERVICE_HOST": "10.0.0.1",
        "RECONCILE_SERVICE_PORT_HTTP": "80",
        "RECONCILE_PORT": "tcp://10.0.0.1:80",
        "RECONCILE_PORT_80_TCP_ADDR": "10.0.0.1",
        "RECONCILE_HTTP_PORT_80_TCP": "tcp://10.0.0.1:80",
    }
    assert load_settings(environ=enough | links)


@pytest.mark.parametrize("key", ["window", "mapping", "exclude", "http", "database_url", "meter", "rate", "cache_hits"])
@pytest.mark.parametrize("value", ["[[1]]", "{ a = 1 }", "2026-11-23", "nan"])
def test_a_value_of_a_strange_type_is_a_fault_too(enough: dict[str, str], folder: Path, key: str, value: str) -> None:
    if key == "database_url":
        del enough["DATABASE_URL"]
    (folder / "reconcile.toml").write_text(f"{key} = {value}")
    if (key, value) in {("mapping", "nan"), ("meter", "nan")}:
        load_settings(environ=enough)  # such text may be a name
    else:
        assert len(faults(enough)) == 1


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("RECONCILE_DRY_RUN", "give the command the option --dry-run"),
        ("RECONCILE_SINCE", "give the command the option --since"),
        ("RECONCILE_INTERVL", "did you mean RECONCILE_INTERVAL?"),
        ("RECONCILE_MAX_RATE", "remove it, or see the list of settings in README.md"),
        ("RECONCILE_SSL", "remove it, or see the list of settings in README.md"),
        ("RECONCILE_LEDGER", "did you mean RECONCILE_LEDGER_URL?"),
        ("RECONCILE_DATABASE_URL", "did you mean DATABASE_URL?"),
        ("RECONCILE_CHARGE_BY", "did you mean LAGO_API_CHARGE_BY?"),
        ("RECONCILE_LAGO_API_KEY", "did you mean LAGO_API_KEY?"),
        ("RECONCILER_WINDOW", "did you mean RECONCILE_WINDOW?"),
        ("reconcile_window", "did you mean RECONCILE_WINDOW?"),
        ("LAGO_API_CHARGEBY", "did you mean LAGO_API_CHARGE_BY?"),
        ("lago_api_charge_by", "did you mean LAGO_API_CHARGE_BY?"),
    ],
)
def test_a_misspelt_variable_gets_a_right_guess_or_none(enough: dict[str, str], variable: str, advice: str) -> None:
    assert faults(enough | {variable: "1"}) == [f"{variable} is not a setting: {advice}"]


def test_other_programs_variables_are_no_misspellings(enough: dict[str, str]) -> None:
    others = {"LAGO_API_URL": "http://lago", "LAGO_FRONT_URL": "x", "RECONCILER_TESTS": "all", "LAGO_API_BASES": "x"}
    assert load_settings(environ=enough | others)


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("reconcile_window", "did you mean window?"),
        ("charge_by", "did you mean lago_api_charge_by?"),
        ("dry_run", "give the command the option --dry-run"),
        ("LAGO_API_KEY", "did you mean lago_api_key?"),
    ],
)
def test_a_misspelt_key_gets_a_right_guess(enough: dict[str, str], folder: Path, key: str, advice: str) -> None:
    (folder / "reconcile.toml").write_text(f'{key} = "1"')
    assert faults(enough) == [f"{key} in reconcile.toml is not a setting: {advice}"]


@pytest.mark.parametrize("variable", ["LAGO_API_EVENT_CODE", "LAGO_API_KEY", "RECONCILE_WINDOW", "RECONCILE_MAPPING"])
@pytest.mark.parametrize("quote", "'\"")
def test_quotes_of_an_env_file_are_told_and_the_value_is_not(enough: dict[str, str], variable: str, quote: str) -> None:
    (fault,) = faults(enough | {variable: f" {quote}hush{quote} "})
    assert fault == f"{variable} begins and ends with a quote, which is taken for a part of it: write it without"


def test_a_command_may_begin_and_end_with_quotes(enough: dict[str, str]) -> None:
    settings = load_settings(environ=enough | {"RECONCILE_ALARM_COMMAND": '"/opt/my tools/page" "billing team"'})
    assert settings.alarm_command == ("/opt/my tools/page", "billing team")


@pytest.mark.parametrize("variable", ["RECONCILE_SUBSCRIPTION", "RECONCILE_EXCLUDE", "LAGO_API_KEY", "DATABASE_URL"])
def test_a_variable_that_is_not_text_is_told(enough: dict[str, str], variable: str) -> None:
    (fault,) = faults(enough | {variable: "team:{id}\udcff"})
    assert fault == f"{variable} is not text in UTF-8: write it again"


def test_a_nul_in_the_file_is_told(enough: dict[str, str], folder: Path) -> None:
    (folder / "reconcile.toml").write_text('subscription = "{id}\\u0000"\nexclude = ["team:a", "team:\\u0000"]')
    assert faults(enough) == [
        "subscription in reconcile.toml (RECONCILE_SUBSCRIPTION) holds a NUL character: write it without",
        "exclude in reconcile.toml (RECONCILE_EXCLUDE) holds a NUL character: write it without",
    ]


def test_the_home_of_nobody_is_told(enough: dict[str, str]) -> None:
    (fault,) = faults(enough | {"RECONCILE_MAPPING": "~nobody-of-that-name/customers.csv"})
    assert fault.startswith("RECONCILE_MAPPING: ~nobody-of-that-name is nobody's home")


def test_the_key_may_be_in_a_file(enough: dict[str, str], folder: Path) -> None:
    (folder / "key").write_text("key-from-file\n")
    told = {name: value for name, value in enough.items() if name != "LAGO_API_KEY"}
    settings = load_settings(environ=told | {"LAGO_API_KEY_FILE": "key"})
    assert settings.lago_api_key.get_secret_value() == "key-from-file"
    (fault,) = faults(enough | {"LAGO_API_KEY_FILE": "key"})
    assert fault == "LAGO_API_KEY and LAGO_API_KEY_FILE are both set: set one of them"


def test_a_key_in_a_file_is_read_anew(enough: dict[str, str], folder: Path) -> None:
    (folder / "key").write_text("key-one")
    told = {name: value for name, value in enough.items() if name != "LAGO_API_KEY"}
    settings = load_settings(environ=told | {"LAGO_API_KEY_FILE": "key"})
    assert settings.read_key() == "key-one"
    (folder / "key").write_text("key-two\n")
    assert settings.read_key() == "key-two"
    (folder / "key").unlink()
    with pytest.raises(SettingsError, match="LAGO_API_KEY_FILE: it names a file that can't be read"):
        settings.read_key()
    assert load_settings(environ=enough).read_key() == enough["LAGO_API_KEY"]


def test_a_key_in_place_of_its_file_is_not_quoted(enough: dict[str, str], folder: Path) -> None:
    told = {name: value for name, value in enough.items() if name != "LAGO_API_KEY"}
    for key in ("3b1f2e60-7c39-4d09-9f3e-0a5c8f6f2d11", "k" * 300):
        (fault,) = faults(told | {"LAGO_API_KEY_FILE": key})
        assert fault.startswith("LAGO_API_KEY_FILE: it names a file that can't be read")
        assert key not in fault


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read"),
        (b"", "it is empty"),
        (b"key-secret\nkey-secret", "the key alone"),
        (b"\xff", "not text"),
    ],
)
def test_a_bad_key_file_is_told(enough: dict[str, str], folder: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (folder / "key").write_bytes(content)
    told = {name: value for name, value in enough.items() if name != "LAGO_API_KEY"}
    (fault,) = faults(told | {"LAGO_API_KEY_FILE": "key"})
    assert fault.startswith("LAGO_API_KEY_FILE: it")
    assert says in fault
    assert "secret" not in fault.replace("/run/secrets/", "")


def test_no_secret_is_shown(enough: dict[str, str], folder: Path) -> None:
    told = enough | {"RECONCILE_HTTP_TOKEN": "http-hush", "DATABASE_URL": "postgresql://u:db-hush@db/x"}
    told["LAGO_API_KEY"] = "key-hush"
    settings = load_settings(environ=told)
    assert "hush" not in repr(settings) + str(settings)

    wrong = told | {
        "DATABASE_URL": "postgresql://u:db-hush/@db/x",
        "RECONCILE_LEDGER_URL": "postgresql://u:hush@db/x?foo=hush",
        "LAGO_API_BASE": "https://hush:hush@lago.example",
        "LAGO_API_KEY": "key hush",
        "RECONCILE_HTTP_TOKEN": "http hush",
        "RECONCILE_WINDOW": "7m",
    }
    found = faults(wrong)
    assert len(found) == 6
    assert not any("hush" in fault for fault in found)


def test_settings_are_imported_without_the_database_driver() -> None:
    code = "import sys, reconciler.settings; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
