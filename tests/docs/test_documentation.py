"""The documentation says what is there: settings, columns, alarms, commands, and examples that run."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import get_args

import psycopg
import pytest
import typer.main
from starlette.routing import Route
from typer.core import TyperGroup

from reconciler.cli import app
from reconciler.cli.listing import DEFAULT, ListByDefault
from reconciler.delivery.decision import RULES
from reconciler.ledger.kinds import INCIDENTS
from reconciler.ledger.tables import metadata
from reconciler.model.durations import format_duration
from reconciler.report import unbillable
from reconciler.sandbox import Sandbox, create_app
from reconciler.sandbox.trouble.chance import Chance
from reconciler.sandbox.trouble.faults import Kind
from reconciler.settings.given import VARIABLES, Given
from reconciler.settings.load import load_settings
from reconciler.settings.sources import CONFIG
from reconciler.verify.doctor.lago import WITHOUT
from reconciler.verify.doctor.questions import QUESTIONS
from tests.conftest import Database, need_programs, spend_row
from tests.support import environment, reconcile

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((TOP / "docs").glob("*.md"))}
PAGES = {"README.md": README, "CHANGELOG.md": (TOP / "CHANGELOG.md").read_text(encoding="utf-8"), **DOCS}


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next of its rank or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section {title}"
    return found[2]


def table(text: str) -> dict[str, list[str]]:
    """The rows of a section's tables whose first cell is code: that code, and the other cells."""
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in rows}


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# -- settings


def default_text(name: str) -> str:
    default = Given.model_fields[name].default
    match default:
        case timedelta():
            return f"`{format_duration(default)}`"
        case bool():
            return f"`{str(default).lower()}`"
        case Enum():
            return f"`{default.value}`"
        case None | () | "":
            return ""
        case _:
            return f"`{default}`"


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    documented = table(section(README, "Settings"))
    assert set(documented) == {*VARIABLES.values(), CONFIG}
    names = {field.validation_alias or name: name for name, field in Given.model_fields.items()}
    for key, variable in VARIABLES.items():
        shown, meaning = documented[variable]
        assert len(meaning) > 5
        if expected := default_text(names[key]):
            assert shown == expected, variable
        else:
            assert shown in {"required", "none", "`DATABASE_URL`"}, variable


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_setting_that_is_not_there(page: str) -> None:
    named = set(re.findall(r"\b(?:RECONCILE|LAGO_API)_[A-Z_]+\b", PAGES[page]))
    assert named <= {*VARIABLES.values(), CONFIG}


def test_the_toml_example_describes_its_meters(tmp_path: Path) -> None:
    content = "\n".join(re.findall(r"^ {4}(.+)$", section(README, "More meters"), re.MULTILINE))
    assert set(tomllib.loads(content)["meters"]) == {"cost", "tokens", "teams"}
    key = tmp_path / "key"
    key.write_text("a-key\n")
    file = tmp_path / "reconcile.toml"
    file.write_text(content.replace("/run/secrets/lago_api_key", str(key)))
    settings = load_settings(config=file, environ={"DATABASE_URL": "postgresql://r@db/litellm"})
    assert {(meter.name, meter.event_code) for meter in settings.meters} == {
        ("cost", "llm_usage"),
        ("tokens", "llm_tokens"),
        ("teams", "team_usage"),
    }


# -- the ledger


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_every_column_of_the_ledger_is_described(name: str) -> None:
    described = table(section(DOCS["ledger.md"], name))
    assert list(described) == [column.name for column in metadata.tables[name].columns]
    assert all(cells[0] for cells in described.values())


def test_the_queries_run(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    reconcile(environment(proxy_db, lago), since="3h")
    with psycopg.connect(proxy_db.url) as connection:
        for page in ("doctor.md", "ledger.md", "operations.md", "verify.md"):
            queries = code_blocks(DOCS[page], "sql")
            assert queries, page
            for query in queries:
                connection.execute(query.encode())


def test_a_query_of_the_ledger_finds_what_was_billed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(), spend_row())
    reconcile(environment(proxy_db, lago), since="3h")
    of_this_month = code_blocks(DOCS["ledger.md"], "sql")[0]
    billed = proxy_db.fetch(of_this_month.replace("date_trunc('month', now())", "now() - interval '1 day'"))
    assert [(customer, requests, into, out) for _, customer, requests, into, out, _ in billed] == [("acme", 2, 20, 40)]


# -- alarms


def test_every_kind_of_alarm_is_explained() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (TOP / "reconciler").rglob("*.py"))
    kinds = set(re.findall(r'\bAlarm\(\s*"([\w ]+)"', sources))
    assert {*INCIDENTS, "quarantined", "foreign"} < kinds
    explained = table(section(DOCS["operations.md"], "Alarms"))
    assert set(explained) == kinds
    for kind, (meaning, action) in explained.items():
        assert meaning.startswith("incident") == (kind in INCIDENTS), kind
        assert len(action) > 10


def test_every_reason_why_usage_is_not_billed_is_explained() -> None:
    explained = table(section(DOCS["operations.md"], "Usage that Lago would not bill"))
    assert list(explained) == list(get_args(unbillable.Kind))


# -- delivery


def table_of_rules() -> str:
    """What becomes of a batch, as the page shows it.

    After a change print it with `python -c 'from tests.docs.test_documentation import *; print(table_of_rules())'`.
    """
    rows = ["| Lago's answer | a batch of many | a batch of one |", "|---|---|---|"]
    return "\n".join(rows + [f"| {rule.shown} | {rule.many_shown} | {rule.one_shown} |" for rule in RULES.values()])


def test_the_table_of_decisions_is_the_one_by_which_it_is_decided() -> None:
    assert f"\n\n{table_of_rules()}\n\n" in section(DOCS["delivery.md"], "What an answer means")


# -- the doctor


def table_of_checks() -> str:
    """What the doctor asks, as the page shows it.

    After a change print it with `python -c 'from tests.docs.test_documentation import *; print(table_of_checks())'`.
    """
    parts = []
    for station, questions in groupby(QUESTIONS, lambda question: question.station):
        rows = [f"| `{each.name}` | {each.asks} | {each.cure} |" for each in questions]
        parts.append("\n".join([f"### {station}", "", "| check | asks | what helps |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def test_the_table_of_checks_is_what_the_doctor_asks() -> None:
    assert f"\n\n{table_of_checks()}\n\n" in section(DOCS["doctor.md"], "The checks")


def test_the_doctors_permissions_are_those_that_delivery_asks_for() -> None:
    rows = re.findall(
        r"^\| ((?:read|write)) `(\w+)` \|", section(DOCS["delivery.md"], "What the key needs"), re.MULTILINE
    )
    assert [" ".join(row) for row in rows] == list(WITHOUT)


# -- commands


def commands(group: TyperGroup, name: str = "reconcile") -> Iterator[str]:
    for word, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}"


ROOT = typer.main.get_command(app)


def test_every_command_is_in_the_readme() -> None:
    assert isinstance(ROOT, TyperGroup)
    documented = set(table(section(README, "Commands")))
    missing = [name for name in commands(ROOT) if not any(text.startswith(name) for text in documented)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one(page: str) -> None:
    """Each `reconcile …` in code: its subcommands and its options exist."""
    inline = re.findall(r"`(reconcile(?: [^`\n]+)?)`", PAGES[page])
    lines = re.findall(r"^ {4}(?:[A-Z_]+=\S+ )*(reconcile(?: [^:\n]+)?)$", PAGES[page], re.MULTILINE)
    for line in [*inline, *lines]:
        command = ROOT
        for word in shlex.split(line.split(" | ")[0])[1:]:
            if isinstance(command, TyperGroup) and word in command.commands:
                command = command.commands[word]
            elif word.startswith("-"):
                if isinstance(command, ListByDefault):
                    command = command.commands[DEFAULT]
                options = {"--help"} | {option for parameter in command.params for option in parameter.opts}
                assert word in options, f"{line}: {command.name} has no {word}"
            else:
                assert not (isinstance(command, TyperGroup) and command.name in {"alarm", "ledger"}), line


def test_every_make_target_of_a_page_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    for page, text in PAGES.items():
        named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.MULTILINE))
        assert named <= targets, page
    assert {"demo", "test"} <= set(re.findall(r"^ {4}make ([a-z]+)", README, re.MULTILINE))


def test_every_file_that_a_page_names_exists() -> None:
    for page, text in PAGES.items():
        folder = TOP if page in {"README.md", "CHANGELOG.md"} else TOP / "docs"
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (folder / link).exists(), f"{page}: {link}"
        for file in re.findall(r"\b(sql/[\w/]+\.sql)", text):
            assert (TOP / file).exists(), f"{page}: {file}"


def test_every_exit_code_is_in_the_readme() -> None:
    assert re.findall(r"^\| (\d) \| .+ \|$", section(README, "Exit codes"), re.MULTILINE) == ["0", "1", "2", "3"]


# -- the stand-in


CLICKHOUSE = "ClickHouse in your hand"


def shell(lago: Sandbox, blocks: list[str]) -> str:
    """What these examples print, one after the other in one shell."""
    need_programs("bash", "curl")
    done = subprocess.run(
        ["bash", "-c", "set -euo pipefail\n" + "echo\n".join(blocks)],
        env=os.environ | {"LAGO_API_BASE": lago.url, "LAGO_API_KEY": lago.api_key, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sessions_with_the_stand_in_work(lago: Sandbox) -> None:
    page = DOCS["sandbox.md"]
    of_clickhouse = code_blocks(section(page, CLICKHOUSE), "sh")
    printed = shell(lago, [block for block in code_blocks(page, "sh") if block not in of_clickhouse])
    lago.accept()  # the last one is an outage
    assert '"units":"0.0003735"' in printed
    assert '"X-RateLimit-Reset":"1"' in printed
    assert lago.pending_faults() == []
    assert len(lago.events()) == 1


def test_the_session_with_clickhouse_bills_twice() -> None:
    with Sandbox(store="clickhouse") as lago:
        printed = shell(lago, code_blocks(section(DOCS["sandbox.md"], CLICKHOUSE), "sh"))
    assert '{"released":2}' in printed
    assert '"events":2,"sums":{"response_cost":"1"}' in printed


def test_the_example_in_python_holds() -> None:
    (example,) = code_blocks(DOCS["sandbox.md"], "python")
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_option_of_the_stand_in_is_documented() -> None:
    assert isinstance(ROOT, TyperGroup)
    options = {option for parameter in ROOT.commands["sandbox"].params for option in parameter.opts}
    described = set(table(section(DOCS["sandbox.md"], "The stand-in of Lago")))
    assert {name.replace("--no-", "--") for name in described} == options - {"--help"}


async def control_requests() -> set[str]:
    app = create_app()
    async with app.router.lifespan_context(app):
        return {
            f"{method} {route.path}"
            for route in app.routes
            if isinstance(route, Route) and route.path.startswith("/sandbox")
            for method in (route.methods or set()) - {"HEAD"}
        }


def test_every_fault_and_control_request_is_documented() -> None:
    page = DOCS["sandbox.md"]
    told = set(table(section(page, "Faults")))
    assert told >= {kind for kind in get_args(Kind) if not kind.startswith("commit_then")}
    assert told >= set(Chance.__struct_fields__)
    assert set(table(section(page, "The control API"))) == asyncio.run(control_requests())
