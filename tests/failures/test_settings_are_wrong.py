"""Settings that are wrong or missing: a line for each fault with its variable's name, exit 1."""

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.failures.conftest import KEY, PASSWORD, Fails
from tests.process import only_object, run, sentences
from tests.support import environment


def test_unknown_charge_by(proxy_db: Database, lago: Sandbox, fails: Fails) -> None:
    sentence = fails(environment(proxy_db, lago, LAGO_API_CHARGE_BY="key_alias"), meters=0)

    assert sentence.startswith("LAGO_API_CHARGE_BY")
    assert all(word in sentence for word in ("end_user_id", "user_id", "team_id"))


def test_a_window_that_does_not_divide_a_day(proxy_db: Database, lago: Sandbox, fails: Fails) -> None:
    sentence = fails(environment(proxy_db, lago, RECONCILE_WINDOW="7m"), meters=0)

    assert sentence.startswith("RECONCILE_WINDOW")
    assert "15m" in sentence


def test_missing_settings_are_told_all_at_once() -> None:
    finished = run({}, "--json")

    assert finished.returncode == 1
    assert [line.split()[0] for line in sentences(finished)] == [
        "DATABASE_URL", "LAGO_API_BASE", "LAGO_API_KEY", "LAGO_API_EVENT_CODE",
    ]  # fmt: skip
    assert only_object(finished)["meters"] == []


def test_faults_are_told_a_line_each_and_quote_no_secret() -> None:
    finished = run(
        {
            "DATABASE_URL": f"mysql://litellm:{PASSWORD}@db/litellm",
            "LAGO_API_BASE": "not an address",
            "LAGO_API_KEY": f"{KEY} ",
            "LAGO_API_EVENT_CODE": "openai_tokens",
            "RECONCILE_INTERVALL": "60s",
        }
    )

    assert finished.returncode == 1
    told = sentences(finished)
    assert {line.split()[0].rstrip(":") for line in told} >= {"DATABASE_URL", "LAGO_API_BASE", "RECONCILE_INTERVALL"}
    assert len(told) == len(finished.stderr.splitlines())
    assert PASSWORD not in finished.stderr
    assert KEY not in finished.stderr
    assert finished.stdout == ""
