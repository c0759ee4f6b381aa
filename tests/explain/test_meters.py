"""`reconcile explain` where there are several meters, and a ledger elsewhere."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import sentences
from tests.support import two_meters


@pytest.fixture
def config(proxy_db: Database, ledger: Database, lago: Sandbox, tmp_path: Path) -> str:
    """Two meters that have billed the same rows, of customers and of teams by the hour."""
    path = two_meters(tmp_path, proxy_db, lago, ledger=ledger, window="1h", model_column="none")
    start = datetime.now(UTC) - timedelta(hours=2)
    proxy_db.insert(
        *(
            spend_row(startTime=start, end_user=name, team_id=team, spend=0.25)
            for name, team in (("acme", "red"), ("red", "blue"))
        ),
        spend_row(startTime=start, end_user="acme", team_id="red", model="other", spend=1e-7),
    )
    run({}, "--config", str(path), "--since", "1d")
    return str(path)


def statements(config: str, *arguments: str) -> dict[str, dict[str, Any]]:
    done = run({}, "explain", "--config", config, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return {each["meter"]: each for each in json.loads(done.stdout)["meters"]}


@pytest.mark.proof
def test_each_meter_that_knows_the_customer_tells_by_its_own_terms(config: str, proxy_db: Database) -> None:
    [acme] = statements(config, "acme").values()
    assert [(line["model"], line["cost"]) for line in acme["lines"]] == [
        ("openai/gpt-4o-mini", "0.25"), ("other", "0.0000001"),
    ]  # fmt: skip
    red = statements(config, "red")
    assert {name: each["total"]["cost"] for name, each in red.items()} == {"customers": "0.25", "teams": "0.2500001"}
    assert [line["model"] for line in red["teams"]["lines"]] == [""]
    assert {each["why"] for each in red["teams"]["counted"]} == {"no subscription"}
    assert set(statements(config, "red", "--meter", "teams")) == {"teams"}

    [event] = red["teams"]["events"]
    told = run({}, "explain", "red", "--config", config, "--event", event["transaction_id"], "--json")
    assert len(json.loads(told.stdout)["rows"]) == 2, "a bucket without a model has the rows of all models"

    with proxy_db.connect() as connection:
        connection.execute('ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN team_id')
    refused = run({}, "explain", "red", "--config", config)
    assert (refused.returncode, '"team_id"' in sentences(refused)[0]) == (1, True)
    assert refused.stdout == "", "a statement is whole or is not there"
