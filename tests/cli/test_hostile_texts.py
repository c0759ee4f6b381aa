"""Hostile texts from everywhere, through every command that prints: they are only text, all of which is seen."""

import csv
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.core import TyperGroup

from reconciler.cli import app
from reconciler.cli.listing import DEFAULT
from reconciler.model.visible import visible
from reconciler.model.windows import utc_text
from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.docs.test_documentation import commands
from tests.support import BATCH, CODE, environment, window

HOSTILE = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07\x1b\\", "\x9b2J\x9d", "\x7f\x08\x08", "\u202egnp.exe",
    "\u2066a\u2069\u200f",     "ac\u200bme\ufeff\u00ad", "\u3164\u2800",
    "line\nbreak\r\n\x85\u2028reconcile: all is well", "tab\there",
    "\x01\x02",
    "[bold red]markup[/bold red]", "[/]", "[link=file:///etc/passwd]x", ":smile: :warning:", "100% %s %(x)s %%",
    "{id} {0} {{}} {", "'; DROP TABLE reconciler.event; --", "$$ \\", "\\x1b", '{"json": [1], "a', "=cmd|' /C calc'!A0",
    "-1+1", "<script>alert(1)</script>", "../events", ".", "?page=1&per_page=9#", " leads", "trails ",
    "Zürich 株式会社",     "\U000e0041\U0001f600\ufe0f", "x" * 200_000,
]  # fmt: skip

MAPPED = [text for text in HOSTILE[:-4] if text == text.strip() and "\n" not in text]
"""A mapping file holds no line breaks, and no blanks around a name."""


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The settings of a meter with hostile customers, models, subscriptions and answers; some of it held or refused."""
    mapping = tmp_path / "mapping.csv"
    with mapping.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("customer", "subscription"))
        writer.writerows((text, f"{text} of {text}"[:2000]) for text in MAPPED)
    proxy_db.insert(
        *(spend_row(end_user=text, model=text, spend=0.01) for text in HOSTILE),
        *(spend_row(end_user="", model=text, spend=0.01) for text in HOSTILE),
        spend_row(spend=float("nan")),
    )
    words = {"timestamp": ["".join(HOSTILE[:-1]) + "\x00\ud800"], **{text: ["no"] for text in HOSTILE[:-1]}}
    refusal = {"status": 422, "code": "validation_errors", "error_details": {"1": words, "3": words}}
    lago.faults({"kind": "status", "status": 422, "body": json.dumps(refusal), "path": BATCH})
    return environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))


SAID_ELSEWHERE = {"reconcile serve", "reconcile sandbox", "reconcile demo", "reconcile ledger upgrade"}
"""What prints no names, or in a log (test_log.py)."""

REASON = "".join(HOSTILE[:-1])

walked: set[str] = set()
"""The commands that `seen` has run."""


def seen(environ: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """What a command prints; nothing in it acts on a terminal, or is not shown by one."""

    done = run(environ, *arguments)
    assert done.returncode in codes, (arguments, done.returncode, done.stderr[:2000])
    for line in (done.stdout + done.stderr).removesuffix("\n").split("\n"):
        assert visible(line) == line, arguments
    assert "Traceback" not in done.stderr
    walked.add(_command(arguments))
    return done.stdout


def listed(environ: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    """The list in the one object that a command prints for programs."""
    [(_, found)] = list(json.loads(seen(environ, *arguments, "--json", codes=codes)).items())[:1]
    assert isinstance(found, list)
    return found


def _command(arguments: tuple[str, ...]) -> str:
    command, name = typer.main.get_command(app), "reconcile"
    for word in (*arguments, DEFAULT):
        if isinstance(command, TyperGroup) and word in command.commands:
            command, name = command.commands[word], f"{name} {word}"
    return name


def names(texts: list[str]) -> Iterator[str]:
    return (visible(text) if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)" for text in texts)


def assert_named(shown: str, texts: list[str]) -> None:
    assert [name for name in names(texts) if name not in shown] == []


@pytest.mark.proof
def test_hostile_texts_are_only_text_in_every_command(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    seen(environ, "--dry-run", "--since", "2h", codes=(0, 3))
    cut_over(environ, lago)
    seen(environ, "--since", "2h", codes=(3,))
    for line in ("--json", "status", "status --json", "alarm", "alarm list --json"):
        seen(environ, *line.split(), codes=(0, 3))
    assert_named(seen(environ, "events", "--limit", "100"), MAPPED)
    assert_named(seen(environ, "customers", "--limit", "100"), MAPPED)
    assert_named(seen(environ, "customers", "--unmapped", "--limit", "100"), HOSTILE[-4:])
    assert_named(seen(environ, "customers", "--unattributed", "--limit", "100"), HOSTILE)
    assert_named(seen(environ, "customers", "--unsubscribed", "--limit", "100"), MAPPED[2:])

    # What Lago refuses: Lago's own words and a person's.
    refused = listed(environ, "quarantine")
    assert len(refused) == 2
    shown = seen(environ, "quarantine")
    for event in refused:
        assert_named(shown, [event["customer"]])
        assert_named(seen(environ, "quarantine", "show", event["transaction_id"]), [event["customer"]])
    given_up, again = (event["transaction_id"] for event in refused)
    assert visible(REASON.strip()) in seen(environ, "quarantine", "discard", given_up, "--reason", REASON)
    assert visible(REASON.strip()) in seen(environ, "events", "show", given_up)
    assert json.loads(seen(environ, "events", "show", given_up, "--json"))["reason"] == REASON.strip()
    seen(environ, "quarantine", "retry", again)

    # Why a bill says what it says.
    for text in (MAPPED[0], MAPPED[4], "=cmd|' /C calc'!A0"):
        assert_named(seen(environ, "explain", text, codes=(0, 1)), [text])
        assert_named(seen(environ, "explain", text, "--csv", "-"), [text])  # the model
    [one] = listed(environ, "explain", MAPPED[0], codes=(0, 1))
    assert (one["customer"], one["lines"][0]["model"]) == (MAPPED[0], MAPPED[0])
    of_event = "explain", MAPPED[0], "--event", one["events"][0]["transaction_id"]
    assert_named(seen(environ, *of_event), MAPPED[:1])
    assert [row["cost"] for row in json.loads(seen(environ, *of_event, "--json"))["rows"]] == ["0.01"]

    # Whose plan may not change yet.
    seen(environ, "close", MAPPED[0], codes=(1,))
    assert json.loads(seen(environ, "close", MAPPED[0], "--json", codes=(1,)))["customer"] == MAPPED[0]

    # What is not as it should be: names without a subscription, alarms.
    assert "without a subscription in Lago" in seen(environ, "doctor", codes=(3,))
    seen(environ, "doctor", "--json", codes=(3,))

    # What Lago lacks: subscriptions of these names.
    assert "subscriptions" in seen(environ, "setup", "--dry-run", "--customers", codes=(0, 3))

    # What is held, and why.
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'held', held_for = 'closed period', answer = %s", REASON)
    assert_named(seen(environ, "held", "--limit", "100"), MAPPED)
    held = {event["customer"]: event["transaction_id"] for event in listed(environ, "held")}
    assert_named(seen(environ, "held", "release", "--move", held[MAPPED[0]], "--reason", REASON), MAPPED[:1])
    seen(environ, "held", "release", held[MAPPED[1]], "--reason", REASON)
    assert visible(REASON.strip()) in seen(environ, "held", "discard", held[MAPPED[2]], "--reason", REASON)
    for command in ("events", "customers", "held"):
        assert list(csv.DictReader(StringIO(seen(environ, command, "--csv"))))

    # What was deleted or lowered, and what a person credits.
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0.005 WHERE spend = 0.01')
    seen(environ, codes=(3,))
    assert_named(seen(environ, "frozen"), MAPPED)
    found = listed(environ, "frozen")
    assert len(found) == len(MAPPED)
    seen(environ, "frozen", "accept", *(bucket["id"] for bucket in found), "--reason", REASON)
    assert visible(REASON.strip()) in seen(environ, "frozen")
    [credit, *_] = json.loads(seen(environ, "frozen", "--json"))["credits"]
    assert credit["reason"] == REASON.strip()
    seen(environ, "frozen", "undo", credit["id"], "--reason", REASON)

    # What belongs to another subscription.
    who = credit["customer"]
    away = "move", who, "--to", REASON, "--since", "2h"
    seen(environ, *away, "--dry-run", codes=(2,))  # Lago knows no such subscription
    lago.permissions(subscription=[])
    assert_named(seen(environ, *away, "--dry-run", codes=(0, 3)), [who, f"{who} of {who}"])
    assert json.loads(seen(environ, *away, "--dry-run", "--json", codes=(0, 3)))["to"] == REASON
    lago.permissions()

    # What Lago has lost, and what strangers have sent it.
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'accepted', held_for = NULL, answered_at = now()")
    lago.forget(CODE)
    for text in HOSTILE[:-1]:
        event = {"transaction_id": text, "external_subscription_id": text, "code": CODE, "properties": {"model": text}}
        httpx.post(
            f"{lago.url}/api/v1/events", headers={"Authorization": f"Bearer {lago.api_key}"}, json={"event": event}
        ).raise_for_status()
    assert_named(seen(environ, "verify", "--since", "2h", codes=(3,)), MAPPED[:1])
    seen(environ, "verify", "--since", "2h", "--json", codes=(3,))
    event = {"transaction_id": f"r1_{REASON}", "external_subscription_id": REASON, "code": CODE}
    event |= {"properties": {"meter": "default", "customer": REASON}}
    httpx.post(
        f"{lago.url}/api/v1/events", headers={"Authorization": f"Bearer {lago.api_key}"}, json={"event": event}
    ).raise_for_status()
    seen(environ, "rebuild", "--since", "2h", codes=(3,))
    seen(environ, "rebuild", "--since", "2h", "--json", codes=(3,))

    [alarm] = [each for each in listed(environ, "alarm") if each["kind"] == "suspect"]
    assert visible(REASON.strip()) in seen(environ, "alarm", "ack", str(alarm["id"]), "--reason", REASON)

    # What is no event, bucket, meter, state or time is said.
    for line in (
        "events show", "quarantine show", "quarantine retry", "held release", "frozen accept --reason x",
        "frozen undo --reason x", "events --state", "customers --since", "status --meter", "verify --until", "--since",
        "explain", "close",
    ):  # fmt: skip
        seen(environ, *line.split(), REASON, codes=(1, 2))
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    assert walked == set(commands(root)) - SAID_ELSEWHERE | {"reconcile"}


def cut_over(environ: dict[str, str], lago: Sandbox) -> None:
    """LiteLLM's callback has sent each name's usage, twice; another pass sees nothing of it."""
    seen(environ, codes=(0, 3))
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    sent = (datetime.now(UTC) - timedelta(minutes=19)).timestamp()
    events = [
        {
            "transaction_id": str(uuid.uuid4()),
            "external_subscription_id": text,
            "code": CODE,
            "timestamp": f"{sent:.3f}",
            "properties": {"model": text, "response_cost": 0.01, **usage},
        }
        for text in HOSTILE[:-1] * 2
    ]
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    with httpx.Client(headers=headers) as client:
        for event in events:
            client.post(f"{lago.url}/api/v1/events", json={"event": event}).raise_for_status()
    shown = seen(environ, "cutover", "--at", utc_text(window(0)), "--since", "3h", "--dry-run")
    assert sum(name in shown for name in names(HOSTILE[:-1])) >= 10
    seen(environ, "cutover", "--at", REASON, codes=(2,))
    lago.forget(CODE)


def test_a_hostile_name_of_a_setting_is_shown(environ: dict[str, str], tmp_path: Path) -> None:
    seen(environ | {"RECONCILE_METER": "".join(HOSTILE[:-1])}, "status", codes=(1,))
    path = tmp_path / "\x1b[31m\u202e.csv"
    seen(environ | {"RECONCILE_MAPPING": str(path)}, "--since", "2h", codes=(1,))
    path.write_text("customer,subscription\n\x1b[31m,\n")
    seen(environ | {"RECONCILE_MAPPING": str(path)}, "--since", "2h", codes=(1,))
