"""The operator's own command or webhook: it gets an alarm as JSON, in bounded time, and no secret gets out."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from reconciler.lago.webhook import post
from reconciler.model.errors import SettingsError
from reconciler.report import hook
from reconciler.settings.load import load_settings
from tests.alarms.conftest import Webhook

ALARM: dict[str, Any] = {"id": 7, "meter": "default", "kind": "held", "state": "ringing", "message": "\x1b {} %s ö"}


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time\n{code}"]


def test_a_command_gets_the_alarm_and_no_setting_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGO_API_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    monkeypatch.setenv("RECONCILE_LEDGER_URL", "secret")
    told = tmp_path / "told"
    code = "import json; json.dump([sys.stdin.read(), dict(os.environ), sys.argv[1:]], open(sys.argv[1], 'w'))"
    assert hook.run([*_python(code), str(told), "$HOME; *"], ALARM) is None
    given, environ, arguments = json.loads(told.read_text())
    assert json.loads(given) == ALARM
    assert arguments == [str(told), "$HOME; *"], "no shell has seen it"
    assert {name: environ[f"ALARM_{name.upper()}"] for name in ("id", "meter", "kind", "state")} == {
        "id": "7",
        "meter": "default",
        "kind": "held",
        "state": "ringing",
    }
    assert "secret" not in environ.values()


FAILING: dict[str, tuple[list[str], str]] = {
    "it fails": (_python("print('no', 'mail'); sys.exit(3)"), "ended with exit code 3: no mail"),
    "there is none": (["/no/such/program"], "can't be run: No such file or directory"),
    "it is no program": (["/"], "can't be run: Permission denied"),
    "it prints without end": (
        _python("while True: print('x' * 1000)"),
        f"was ended, as it took more than 1 s: {'x' * 1000} {'x' * 999}",
    ),
    "it hangs, and what it has started": (
        _python("os.fork(); print('a', flush=True); time.sleep(60)"),
        "was ended, as it took more than 1 s: a",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_goes_wrong_with_a_command_is_one_sentence(name: str) -> None:
    command, said = FAILING[name]
    failed = hook.run(command, ALARM, seconds=1)
    assert failed is not None
    assert failed.startswith(f"RECONCILE_ALARM_COMMAND {said}")
    assert len(failed) < 2100


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_command_of_another_user_that_cannot_be_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def refuse(group: int, _: int) -> None:
        left.append(group)
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", refuse)
        failed = hook.run(_python("print('a', flush=True); time.sleep(60)"), ALARM, seconds=1)
    [group] = left
    os.killpg(group, signal.SIGKILL)
    assert failed == "RECONCILE_ALARM_COMMAND took more than 1 s and could not be ended: a"


def test_what_a_command_leaves_running_is_not_waited_for() -> None:
    code = "if os.fork(): sys.exit(0)\nos.setsid(); time.sleep(3)"
    assert hook.run(_python(code), ALARM, seconds=60) is None


@pytest.mark.parametrize(("status", "failed"), [(204, None), (302, "answers 302"), (500, "answers 500")])
def test_a_webhook_is_posted_to_and_only_its_status_counts(webhook: Webhook, status: int, failed: str | None) -> None:
    said = post(SecretStr(f"{webhook.url}/{status}"), ALARM)
    assert said == (failed and f"RECONCILE_ALARM_WEBHOOK {failed}")
    assert webhook.got == [(f"/token/{status}", ALARM)], "a redirect is not followed"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/token", "http://token.invalid/", "https://127.0.0.1:1/token", "http://[::token]/"]
)
def test_the_address_of_a_webhook_is_not_quoted(url: str) -> None:
    failed = post(SecretStr(url), ALARM)
    assert failed is not None
    assert failed.startswith("RECONCILE_ALARM_WEBHOOK can't be reached")
    assert "token" not in failed


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HTTPS_PROXY", "ftp://proxy", "is not the address of a proxy"),
        ("HTTPS_PROXY", "socks5://127.0.0.1:1080", "names a SOCKS proxy"),
        ("SSL_CERT_FILE", "/nowhere", "names a file that can't be used"),
        ("SSL_CERT_DIR", "/nowhere", "names no folder"),
        ("SSLKEYLOGFILE", "/nowhere/log", "names a file that can't be written"),
    ],
)
def test_a_variable_in_the_way_of_a_webhook_is_said_without_its_host_and_without_lago(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    failed = post(SecretStr("https://token.hooks.invalid/token"), ALARM)
    assert failed is not None
    assert failed.startswith(f"RECONCILE_ALARM_WEBHOOK can't be reached: {variable} {said}")
    assert "token" not in failed
    assert "Lago" not in failed
    assert ("except the webhook from it by NO_PROXY." in failed) == (variable == "HTTPS_PROXY")


def test_certificates_that_cannot_be_loaded_are_said_without_lago(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("garbage")

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr("httpx.create_ssl_context", fail)
    assert post(SecretStr("https://token.invalid"), ALARM) == (
        "RECONCILE_ALARM_WEBHOOK can't be reached: The certificates that the webhook is known by can't be loaded "
        "(garbage): set SSL_CERT_FILE."
    )


ENOUGH = {"DATABASE_URL": "postgresql://r@db/litellm"}


def test_the_settings_keep_the_webhook_s_address_to_themselves() -> None:
    url = "https://hooks.example/s3cret"
    settings = load_settings(environ=ENOUGH | {"RECONCILE_ALARM_WEBHOOK": url}, require_lago=False)
    assert settings.alarm_webhook is not None
    assert settings.alarm_webhook.get_secret_value() == url
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RECONCILE_ALARM_WEBHOOK": "hooks.example/token"}, "is not an http or https address"),
        ({"RECONCILE_ALARM_WEBHOOK": "ftp://hooks.example/token"}, "is not an http or https address"),
        ({"RECONCILE_ALARM_COMMAND": "'unended token"}, "is no command"),
        (
            {"RECONCILE_ALARM_WEBHOOK": "http://a/token", "RECONCILE_ALARM_COMMAND": "token"},
            "are both set: set one of them",
        ),
    ],
)
def test_a_wrong_setting_is_said_without_its_value(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as wrong:
        load_settings(environ=ENOUGH | variables, require_lago=False)
    assert "token" not in str(wrong.value)


def test_a_command_is_split_as_a_shell_would() -> None:
    variables = ENOUGH | {"RECONCILE_ALARM_COMMAND": "mail -s 'an alarm' billing@example.com"}
    settings = load_settings(environ=variables, require_lago=False)
    assert settings.alarm_command == ("mail", "-s", "an alarm", "billing@example.com")
