"""`reconcile events`: what is in the ledger, whatever its state, for people and for programs."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest

from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.report import events
from reconciler.report.events import read
from reconciler.settings.load import load_settings
from tests.commands import run
from tests.conftest import spend_row
from tests.process import only_object, sentences
from tests.support import BATCH, environment, reconcile, world


@pytest.fixture(scope="module")
def environ(postgres: EmbeddedPostgres) -> Iterator[dict[str, str]]:
    """The settings of a meter with 60 events, of which Lago called one invalid."""
    now = datetime.now(UTC) - timedelta(minutes=20)
    refusal = {"status": 422, "code": "validation_errors", "error_details": {"0": {"timestamp": ["invalid_format"]}}}
    with world(postgres) as (source, lago):
        source.insert(
            *(spend_row(end_user=f"c{n % 10}", startTime=now - timedelta(hours=n), spend=0.5) for n in range(60))
        )
        lago.faults({"kind": "status", "status": 422, "body": json.dumps(refusal), "path": BATCH})
        environ = environment(source, lago)
        reconcile(environ, since="5d")
        yield environ


def test_people_see_the_newest_and_are_told_that_there_are_more(environ: dict[str, str]) -> None:
    shown = run(environ, "events").stdout.splitlines()
    assert len(shown) == 52
    assert shown[-1] == (
        "The newest 50 events, 25.00 USD; there are more: --limit N shows N, --json or --csv all. "
        "`reconcile events show ID` says more of one."
    )
    assert run(environ, "events", "list", "--limit", "60").stdout.splitlines()[-1].startswith("60 events, 30.00 USD.")


def test_programs_get_all_of_them(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = only_object(run(environ, "events", "--json"))["events"]
    assert len({event["transaction_id"] for event in found}) == 60
    assert [event["window"] for event in found] == sorted((event["window"] for event in found), reverse=True)
    rows = list(csv.DictReader(StringIO(run(environ, "events", "--csv").stdout)))
    assert [row["transaction_id"] for row in rows] == [event["transaction_id"] for event in found]
    monkeypatch.setattr(events, "_PAGE", 7)
    assert [event.transaction_id for event in read(load_settings(environ=environ))] == [
        event["transaction_id"] for event in found
    ]


def test_some_can_be_chosen(environ: dict[str, str]) -> None:
    def found(*arguments: str) -> list[dict[str, str]]:
        answer: list[dict[str, str]] = only_object(run(environ, "events", "--json", *arguments))["events"]
        return answer

    assert {event["customer"] for event in found("--customer", "c7")} == {"c7"}
    assert len(found("--customer", "c7")) == 6
    [refused] = found("--state", "quarantined")
    assert refused["answer"] == "422 {'timestamp': ['invalid_format']}"
    assert found("--state", "held") == []
    assert found("--state", "quarantined ") == [refused]
    assert len(found("--limit", "3")) == 3
    assert run(environ, "events", "--state", "held").stdout == "No such event is in the ledger.\n"
    wrong = run(environ, "events", "--state", "sent")
    assert (wrong.returncode, sentences(wrong)) == (
        2, ["--state: 'sent' is unknown: write planned, accepted, quarantined, discarded or held."]
    )  # fmt: skip
    assert run(environ, "events", "--json", "--csv").returncode == 2


def test_one_is_shown_whole_by_the_beginning_of_its_id(environ: dict[str, str]) -> None:
    event = only_object(run(environ, "events", "--json", "--state", "accepted", "--limit", "1"))["events"][0]
    whole = only_object(run(environ, "events", "show", event["transaction_id"][:24], "--json"))
    assert event.items() <= whole.items()
    assert whole["event"]["transaction_id"] == event["transaction_id"]
    shown = run(environ, "events", "show", event["transaction_id"]).stdout
    assert event["transaction_id"] in shown
    assert "0.5 USD" in shown
    unknown = run(environ, "events", "show", "r2_")
    assert unknown.returncode == 2
    assert sentences(unknown) == [
        "No event has an id that begins with 'r2_'; `reconcile events` lists them. Nothing was done."
    ]
