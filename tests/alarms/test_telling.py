"""The operator's own command or webhook is told of each ringing once, and once that it is over, over all passes."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.ledger import alarms
from reconciler.ledger.store import open_ledger
from reconciler.report.status import acknowledge
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.alarms.conftest import Webhook
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.support import environment, reconcile


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where the command writes what it was told, a line an alarm."""
    return tmp_path / "told"


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox, told: Path) -> dict[str, str]:
    return environment(proxy_db, lago, RECONCILE_ALARM_COMMAND=f"""sh -c 'cat >> "$0"; echo >> "$0"' {told}""")


def _told(told: Path) -> list[tuple[str, str, str]]:
    """What it was told since this was last asked."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    told.unlink(missing_ok=True)
    return [(line["state"], line["kind"], line["extent"]) for line in lines]


def _suspect(database: Database) -> None:
    database.insert(spend_row(spend=float("nan")))


def _mend(database: Database) -> None:
    database.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0, prompt_tokens = 0, completion_tokens = 0')


@pytest.mark.proof
def test_a_ringing_is_told_once_again_when_it_rings_anew_and_once_when_it_is_over(
    proxy_db: Database, environ: dict[str, str], told: Path
) -> None:
    _suspect(proxy_db)
    reconcile(environ, since="1d", dry_run=True)
    assert _told(told) == []
    [alarm] = reconcile(environ, since="1d").alarms
    assert _told(told) == [("ringing", "suspect", "1")]
    reconcile(environ)
    assert _told(told) == []

    acknowledge(load_settings(environ=environ), alarm["id"], "known")
    reconcile(environ)
    assert _told(told) == []
    _suspect(proxy_db)
    reconcile(environ)
    assert _told(told) == [("ringing", "suspect", "2")]

    _mend(proxy_db)
    reconcile(environ)
    reconcile(environ)
    assert _told(told) == [("over", "suspect", "2")]


def test_a_webhook_gets_each_alarm_once(proxy_db: Database, lago: Sandbox, webhook: Webhook) -> None:
    _suspect(proxy_db)
    proxy_db.insert(spend_row(spend=0))
    environ = environment(proxy_db, lago, RECONCILE_ALARM_WEBHOOK=f"{webhook.url}/204")
    standing = reconcile(environ, since="1d").alarms
    reconcile(environ)
    assert [alarm["kind"] for alarm in standing] == ["suspect", "unpriced"]
    assert [(path, body["id"], body["kind"], body["state"]) for path, body in webhook.got] == [
        ("/token/204", alarm["id"], alarm["kind"], "ringing") for alarm in standing
    ]


def test_an_alarm_that_cannot_be_told_keeps_no_other_untold(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str], told: Path
) -> None:
    _suspect(proxy_db)
    proxy_db.insert(spend_row(spend=0))
    choosy = f"""sh -c 'test $ALARM_KIND != suspect && cat >> "$0"' {told}"""
    reconcile(environ | {"RECONCILE_ALARM_COMMAND": choosy}, since="1d")
    assert _told(told) == [("ringing", "unpriced", "1")]


def test_what_was_tried_goes_behind_what_was_not(proxy_db: Database, lago: Sandbox) -> None:
    _suspect(proxy_db)
    proxy_db.insert(spend_row(spend=0))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    ledger = open_ledger(load_settings(environ=environ))
    taken = []
    for _ in range(3):
        with ledger.transaction() as connection:
            alarm = alarms.claim(connection, ["default"], lease=timedelta(0))
            assert alarm is not None
            taken.append(alarm.kind)
    ledger.close()
    assert taken == ["suspect", "unpriced", "suspect"]


def test_a_command_that_fails_is_a_warning_and_is_tried_again(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str], told: Path
) -> None:
    proxy_db.insert(spend_row())
    _suspect(proxy_db)
    failing = environ | {"RECONCILE_ALARM_COMMAND": "sh -c 'echo no mail; exit 4'"}
    done = run(failing, "--since", "1d")
    assert done.returncode == 3
    assert "RECONCILE_ALARM_COMMAND ended with exit code 4: no mail" in done.stderr
    assert len(lago.events()) == 1, "billing goes on"

    assert run(failing).stderr == "", "not with every pass"
    proxy_db.fetch("UPDATE reconciler.alarm SET telling_until = now() - interval '1 second'")
    assert run(environ).stderr == ""
    assert _told(told) == [("ringing", "suspect", "1")]


def test_of_two_passes_at_once_one_tells_and_what_one_died_with_another_tells(
    proxy_db: Database, lago: Sandbox
) -> None:
    _suspect(proxy_db)
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    ledger = open_ledger(load_settings(environ=environ))
    minute, over = timedelta(minutes=1), timedelta(0)
    with ledger.transaction() as first, open_ledger(load_settings(environ=environ)).transaction() as second:
        assert alarms.claim(first, ["default"], lease=over)
        assert alarms.claim(second, ["default"], lease=over) is None, "nobody waits"
    with ledger.transaction() as connection:
        assert alarms.claim(connection, ["other"], lease=minute) is None
        assert alarms.claim(connection, ["default"], lease=minute)
    with ledger.transaction() as connection:
        assert alarms.claim(connection, ["default"], lease=minute) is None
    proxy_db.fetch("UPDATE reconciler.alarm SET telling_until = now() - interval '1 second'")
    with ledger.transaction() as connection:
        alarm = alarms.claim(connection, ["default"], lease=minute)
        assert alarm is not None
        alarms.note_told(connection, alarm)
        assert alarms.claim(connection, ["default"], lease=minute) is None
    ledger.close()


def test_what_was_never_told_is_not_told_to_be_over(proxy_db: Database, lago: Sandbox, environ: dict[str, str]) -> None:
    _suspect(proxy_db)
    plain = environment(proxy_db, lago)
    [alarm] = reconcile(plain, since="1d").alarms
    acknowledge(load_settings(environ=plain), alarm["id"], "known")
    reconcile(environ)
    _mend(proxy_db)
    reconcile(environ)
    assert proxy_db.fetch("SELECT told_at, over_told_at FROM reconciler.alarm") == [(None, None)]
