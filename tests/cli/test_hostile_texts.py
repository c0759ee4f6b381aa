"""Hostile texts from everywhere, through every command that prints: they are only text, all of which is seen."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from reconciler.model.visible import visible
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.process import run
from tests.support import BATCH, environment

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


def seen(environ: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """What a command prints; nothing in it acts on a terminal, or is not shown by one."""
    done = run(environ, *arguments)
    assert done.returncode in codes, done.stderr[:2000]
    for line in (done.stdout + done.stderr).removesuffix("\n").split("\n"):
        assert visible(line) == line, arguments
    assert "Traceback" not in done.stderr
    return done.stdout


def names(texts: list[str]) -> Iterator[str]:
    return (visible(text) if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)" for text in texts)


def test_hostile_texts_are_only_text_in_every_command(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    seen(environ, "--dry-run", "--since", "2h", codes=(0, 3))
    seen(environ, "--since", "2h", codes=(3,))
    for line in ("--json", "status", "status --json", "alarm", "alarm list --json", "quarantine"):
        seen(environ, *line.split(), codes=(0, 3))
    proxy_db.fetch(
        """UPDATE reconciler.batch SET state = 'held', held_for = 'closed period', answer = %s
           WHERE state = 'quarantined' AND id = (SELECT min(id) FROM reconciler.batch WHERE state = 'quarantined')""",
        "".join(HOSTILE[:-1]),
    )
    shown = seen(environ, "events", "--limit", "100")
    assert all(name in shown for name in names(MAPPED))
    shown = seen(environ, "customers", "--limit", "100")
    assert all(name in shown for name in names(MAPPED))
    shown = seen(environ, "customers", "--unmapped", "--limit", "100")
    assert all(name in shown for name in names(HOSTILE[-4:]))
    shown = seen(environ, "customers", "--unattributed", "--limit", "100")
    assert all(name in shown for name in names(HOSTILE))
    for command in ("events", "customers", "held"):
        json.loads(seen(environ, command, "--json"))
        assert list(csv.DictReader(StringIO(seen(environ, command, "--csv"))))


def test_hostile_frozen_buckets_and_credits_are_shown(environ: dict[str, str], proxy_db: Database) -> None:
    del environ["RECONCILE_MAPPING"]
    seen(environ, "--since", "2h", codes=(3,))
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0.005')
    seen(environ, codes=(3,))
    found = json.loads(seen(environ, "frozen", "--json"))["frozen"]
    assert len(found) == len(HOSTILE)
    shown = seen(environ, "frozen")
    assert all(name in shown for name in names(HOSTILE))
    reason = "".join(HOSTILE[:-1])
    seen(environ, "frozen", "accept", *(bucket["id"] for bucket in found), "--reason", reason)
    assert visible(reason.strip()) in seen(environ, "frozen")
    [credit, *_] = json.loads(seen(environ, "frozen", "--json"))["credits"]
    assert credit["reason"] == reason.strip()
    seen(environ, "frozen", "undo", credit["id"], "--reason", reason)


def test_a_hostile_event_and_a_hostile_reason_are_shown(environ: dict[str, str]) -> None:
    seen(environ, "--since", "2h", codes=(3,))
    events = json.loads(seen(environ, "quarantine", "--json"))["quarantined"]
    assert len(events) == 2
    for event in events:
        shown = seen(environ, "events", "show", event["transaction_id"])
        assert visible(event["customer"]) in shown
    reason = "".join(text for text in HOSTILE[:-1])
    one = events[0]["transaction_id"]
    assert visible(reason.strip()) in seen(environ, "quarantine", "discard", one, "--reason", reason)
    assert visible(reason.strip()) in seen(environ, "events", "show", one)
    assert json.loads(seen(environ, "events", "show", one, "--json"))["reason"] == reason.strip()
    [alarm] = [
        each for each in json.loads(seen(environ, "alarm", "list", "--json"))["alarms"] if each["kind"] == "suspect"
    ]
    assert visible(reason.strip()) in seen(environ, "alarm", "ack", str(alarm["id"]), "--reason", reason)


def test_a_hostile_name_of_a_setting_is_shown(environ: dict[str, str], tmp_path: Path) -> None:
    seen(environ | {"RECONCILE_METER": "".join(HOSTILE[:-1])}, "status", codes=(1,))
    path = tmp_path / "\x1b[31m\u202e.csv"
    seen(environ | {"RECONCILE_MAPPING": str(path)}, "--since", "2h", codes=(1,))
    path.write_text("customer,subscription\n\x1b[31m,\n")
    seen(environ | {"RECONCILE_MAPPING": str(path)}, "--since", "2h", codes=(1,))
