"""`reconcile doctor` as a command: a real spend table, a real ledger, and a Lago over HTTP. It writes nothing."""

import io
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from reconciler.cli.show.doctor import page
from reconciler.database.postgres import Postgres
from reconciler.ledger.tables import metadata
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify.doctor.asking import arrived
from reconciler.verify.doctor.check import Check, Mark
from reconciler.verify.doctor.run import Examination, examine
from tests.conftest import Database, spend_row
from tests.process import only_object, run
from tests.support import BATCH, CODE, environment, in_the_middle_of_a_month, reconcile

NOWHERE = "127.0.0.1:1"


def doctor(environ: dict[str, str], *, meter: str | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
    """What it finds, in this process: the exit code, and each check by its name, of several with one name the worst."""
    return found(examine(load_settings(environ=environ, overrides={"meter": meter})).as_json())


def found(told: dict[str, Any]) -> tuple[int, dict[str, dict[str, Any]]]:
    """The same of the one object that a program gets."""
    order = ["good", "not asked", "look", "bad"]
    checks = sorted(told["checks"], key=lambda each: order.index(each["mark"]))
    return told["exit_code"], {check["check"]: check for check in checks}


def marks(checks: dict[str, dict[str, Any]], *but: str) -> set[str]:
    return {check["mark"] for name, check in checks.items() if name not in but}


@pytest.fixture
def billed(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter that has billed its one customer, who has no subscription."""
    in_the_middle_of_a_month(lago)
    proxy_db.insert(spend_row(), spend_row())
    environ = environment(proxy_db, lago)
    reconcile(environ, since="2h")
    return environ


def everything(database: Database) -> list[tuple[Any, ...]]:
    """All that the database and its ledger hold."""
    tables = [f"reconciler.{table.name}" for table in metadata.sorted_tables] + ['"LiteLLM_SpendLogs"']
    rows = [f"SELECT '{name}' AS source, one::text AS row FROM {name} AS one" for name in tables]
    rows.append("SELECT 'batch_id', last_value::text FROM reconciler.batch_id")
    return database.fetch(f"{' UNION ALL '.join(rows)} ORDER BY 1, 2")


def test_all_is_well_with_a_healthy_meter_and_nothing_is_written(
    billed: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    assert run(billed, "setup", "--customers", "--yes").returncode == 0
    before, events = everything(proxy_db), lago.events()
    lago.clear_requests()

    done = run(billed, "doctor")

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "✓ passes: 1 pass in the last day" in done.stdout
    assert "✓ index: A fresh look reads by the index" in done.stdout
    assert done.stdout.endswith(" checks: all is well.\n")
    assert lago.api_key not in done.stdout
    assert everything(proxy_db) == before
    assert lago.events() == events
    # One request is no GET: a batch of no events, which Lago refuses, shows whether the key may write.
    assert [(each["path"], each["ids"]) for each in lago.requests() if each["method"] != "GET"] == [(BATCH, [])]


def callback_sends(lago: Sandbox, at: datetime) -> None:
    """LiteLLM's own callback sends an event for acme."""
    properties = {"model": "gpt-4o-mini", "response_cost": 0.1, "total_tokens": 30, "prompt_tokens": 10}
    sent = {"transaction_id": str(uuid4()), "external_subscription_id": "acme", "code": CODE}
    ask(lago, "POST", "events", {"event": {**sent, "timestamp": at.timestamp(), "properties": properties}})


def ask(lago: Sandbox, method: str, path: str, body: dict[str, Any]) -> None:
    """Ask Lago as its operator, or the callback, does."""
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    httpx.request(method, f"{lago.url}/api/v1/{path}", headers=headers, json=body).raise_for_status()


def test_the_callbacks_events_beside_ours_are_double_billing(
    billed: dict[str, str], proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = {"field_name": "usd", "expression": "event.properties.response_cost * 2"}  # which Lago adds to events
    ask(lago, "PUT", f"billable_metrics/{CODE}", {"billable_metric": computed})
    [ours] = lago.events()
    callback_sends(lago, datetime.fromisoformat(ours["timestamp"]) - timedelta(minutes=3))

    code, checks = doctor(billed)

    assert code == 1
    assert checks["callback"]["mark"] == "bad"
    assert "usage is billed twice" in checks["callback"]["says"]
    assert "litellm_settings" in checks["callback"]["cure"]
    assert marks(checks, "callback", "subscriptions") == {"good"}

    # Behind thousands of ours, which are newer, they are found all the same.
    proxy_db.insert(*(spend_row(model=f"m{number}") for number in range(9)))
    reconcile(billed, since="2h")
    monkeypatch.setattr(arrived, "PAGE", 3)
    monkeypatch.setattr(arrived, "PAGES", 1)
    code, checks = doctor(billed)
    assert (code, checks["callback"]["mark"]) == (1, "bad")
    assert "1 event of LiteLLM's callback in the last three hours, for the same" in checks["callback"]["says"]
    assert checks["other events"]["says"] == "None among the newest ones."
    monkeypatch.setattr(arrived, "BETWEEN", 0)
    assert "three hours among the newest ones." in doctor(billed)[1]["callback"]["says"]


def test_between_the_stamps_of_ours_lies_all_else() -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-24T{text}+00:00")

    assert list(arrived.between(at("11:40:00"), at("12:07:30"), timedelta(minutes=15))) == [
        (at("12:00:00"), at("12:07:30")),
        (at("11:45:00"), at("11:59:59.998")),
        (at("11:40:00"), at("11:44:59.998")),
    ]
    assert list(arrived.between(at("12:07:30"), at("12:00:00"), timedelta(minutes=15))) == []


@pytest.mark.no_ledger
def test_before_the_first_pass_it_says_what_lacks(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(end_user="\x1b[31mnew"))
    environ = environment(proxy_db, lago)
    lago.permissions(event=["read"], invoice=[])

    code, checks = doctor(environ | {"LAGO_API_EVENT_CODE": "openai_tokns"})
    assert code == 1
    assert checks["schema"]["says"].startswith("None yet")
    assert checks["passes"]["mark"] == "look"
    assert checks["permissions"]["says"].startswith("The key may not write event")
    assert (checks["metric"]["mark"], checks["plans"]["mark"]) == ("bad", "not asked")
    assert proxy_db.fetch("SELECT to_regnamespace('reconciler')") == [(None,)]

    shown = run(environ, "doctor")
    assert shown.returncode == 1
    assert "! permissions: The key may not read invoice" in shown.stdout
    assert "! subscriptions: 1 event (0.0000135 USD) without a subscription in Lago: \\x1b[31mnew" in shown.stdout


def test_a_spend_table_that_is_not_as_it_should_be(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(
        spend_row(),
        *(spend_row(end_user="") for _ in range(3)),
        spend_row(end_user="", startTime=datetime.now(UTC) + timedelta(hours=8)),
    )
    proxy_db.fetch(
        """DO $$ DECLARE name text; BEGIN
             FOR name IN SELECT indexrelid::regclass::text FROM pg_index
                         WHERE indrelid = '"LiteLLM_SpendLogs"'::regclass AND NOT indisprimary
             LOOP EXECUTE 'DROP INDEX ' || name; END LOOP; END $$"""
    )
    code, checks = doctor(environment(proxy_db, lago))
    assert code == 3
    for name, said in {
        "index": 'No index begins with "startTime"',
        "rows": "Most have no customer",
        "clock": "lies 8 h ahead of the source's clock",
    }.items():
        assert (checks[name]["mark"], said in checks[name]["says"]) == ("look", True), checks[name]


@pytest.mark.proof
def test_what_is_away_keeps_no_other_from_being_asked(billed: dict[str, str], lago: Sandbox) -> None:
    code, checks = doctor(billed | {"DATABASE_URL": f"postgresql://r:secret-password@{NOWHERE}/litellm"})
    assert code == 1
    assert {name for name, check in checks.items() if check["mark"] == "bad"} == {"source", "ledger"}
    assert checks["subscriptions"]["says"] == "not asked, since 'source' failed."
    assert checks["other events"]["mark"] == "not asked"
    assert checks["metric"]["mark"] == "good"
    assert "secret-password" not in str(checks)

    code, checks = doctor(billed | {"LAGO_API_BASE": f"http://{NOWHERE}"})
    assert code == 1
    assert {name for name, check in checks.items() if check["mark"] == "bad"} == {"Lago", "meter"}
    assert checks["callback"]["says"] == "not asked, since 'Lago' failed."
    assert checks["rows"]["mark"] == "good"

    code, checks = doctor(billed | {"LAGO_API_KEY": "a-key-of-nobody"})
    assert (code, checks["API key"]["mark"]) == (1, "bad")
    assert "a-key-of-nobody" not in str(checks)

    del billed["LAGO_API_KEY"]
    done = run(billed, "doctor", "--json")
    code, checks = found(only_object(done))
    assert (done.returncode, done.stderr) == (code, "")
    assert (code, checks["settings"]["mark"], checks["passes"]["mark"]) == (1, "bad", "good")
    assert checks["Lago"]["says"] == "not asked, since 'settings' failed."

    done = run(billed | {"DATABASE_URL": "mysql://db"}, "doctor")
    assert done.returncode == 1
    assert "- source, table, columns," in done.stdout


def test_a_second_ledger_or_meter_on_the_same_rows_is_found(
    billed: dict[str, str], empty_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    begin = Postgres._begin

    def noted(*args: Any, read_only: bool, **more: Any) -> None:
        begun.append(read_only)
        begin(*args, read_only=read_only, **more)

    monkeypatch.setattr(Postgres, "_begin", noted)
    code, checks = doctor(billed | {"RECONCILE_LEDGER_URL": empty_db.url})
    assert set(begun) == {True}, "Postgres itself lets the doctor write nothing"
    assert code == 1
    assert "a pass ran there at" in checks["another ledger"]["says"]
    assert "another ledger of this meter" in checks["other events"]["says"]
    assert "`reconcile rebuild`" in checks["other events"]["cure"]

    code, checks = doctor(billed, meter="second")
    assert (code, checks["twins"]["mark"]) == (1, "bad")
    assert "Meter 'default' bills the same rows" in checks["twins"]["says"]


def test_an_encoding_without_signs_gets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    latin = io.TextIOWrapper(written, encoding="latin-1", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", latin)
    page(Examination([Check("source", Mark.GOOD, "Zürich."), Check("table", Mark.BAD, "✗", "Mend it.", "teams")]))
    latin.flush()
    assert written.getvalue().decode("latin-1") == (
        "Source\nok source: Zürich.\nx table of teams: \\u2717 Mend it.\n2 checks: 1 to mend.\n"
    )
