"""What RECONCILE_EXCLUDE names is not billed: internal teams, health checks, models that customers bring."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.capture.source import open_source, values
from reconciler.database.postgres import cursor
from reconciler.ledger.store import open_ledger
from reconciler.model.terms import Stretch
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database, spend_row
from tests.support import Usage, Usages, assert_exact, environment, reconcile, used

ROWS: list[dict[str, Any]] = [
    {"request_id": "usual"},
    {"request_id": "customer", "end_user": "internal-ci"},
    {"request_id": "user", "user": "admin"},
    {"request_id": "team", "team_id": "internal"},
    {"request_id": "key", "api_key": "litellm-internal-health-check"},
    {"request_id": "model", "model": "byok/llama"},
    {"request_id": "percent", "end_user": "100%"},
    {"request_id": "percent-like", "end_user": "100 clients"},
    {"request_id": "underscore", "end_user": "a_b"},
    {"request_id": "underscore-like", "end_user": "aXb"},
    {"request_id": "backslash", "end_user": "a\\b"},
    {"request_id": "quote", "end_user": "o'hara"},
    {"request_id": "case", "end_user": "Internal-CI"},
    {"request_id": "null", "team_id": None, "user": None},
]


EXCLUSIONS: dict[str, set[str]] = {
    "customer:internal-ci": {"customer"},
    "customer:internal-*": {"customer"},
    "customer:*-ci": {"customer"},
    "user:admin": {"user"},
    "user:a*": {"user"},
    "team:internal": {"team"},
    "team:*ern*": {"team"},
    "key:litellm-internal-*": {"key"},
    "model:byok/*": {"model"},
    "customer:100%": {"percent"},
    "customer:%": set(),
    "customer:a_b": {"underscore"},
    "customer:a\\b": {"backslash"},
    "customer:o'hara": {"quote"},
    "team:internal, model:byok/*,, user:admin": {"team", "model", "user"},
    "customer:*": {row["request_id"] for row in ROWS},
}


def totals(environ: dict[str, str]) -> Usages:
    """What the source says is to be billed, as a look reads it."""
    settings = load_settings(environ=environ)
    with closing(open_ledger(settings)) as ledger, closing(open_source(settings, ledger)) as source:
        [meter] = settings.meters
        now = datetime.now(UTC)
        stretch = Stretch(meter.terms, now - timedelta(hours=2), now)
        with source.transaction() as connection:
            statement = source.totals(source.sight(), meter.terms)
            rows = cursor(connection).execute(statement, values(stretch)).fetchall()
    return {
        (customer, model): Usage(input_tokens, output_tokens, cost, requests)
        for _, customer, model, verdict, input_tokens, output_tokens, cost, requests in rows
        if verdict != "excluded"
    }


@pytest.mark.proof
def test_leaves_out_exactly_what_it_names(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(*(spend_row(**row) for row in ROWS))
    for exclude, left_out in EXCLUSIONS.items():
        names = ", ".join(f"'{name}'" for name in left_out) or "''"
        found = totals(environment(proxy_db, lago, RECONCILE_EXCLUDE=exclude))
        assert found == used(proxy_db, where=f"request_id NOT IN ({names})"), exclude
        assert sum(usage.requests for usage in found.values()) == len(ROWS) - len(left_out), exclude

    several = "team:internal, model:byok/*,, user:admin"
    assert reconcile(environment(proxy_db, lago, RECONCILE_EXCLUDE=several), since="2h").exit_code == 0
    assert_exact(proxy_db, lago, where="request_id NOT IN ('team', 'model', 'user')")


def test_a_model_and_a_customer_are_excluded_by_the_names_that_are_billed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(), spend_row(model_group="byok"), spend_row(model_group=None, team_id="internal"))
    found = totals(environment(proxy_db, lago, RECONCILE_EXCLUDE="model:byok", RECONCILE_MODEL_COLUMN="model_group"))
    assert found == used(proxy_db, model="model_group", where="model_group IS DISTINCT FROM 'byok'")
    assert {model for _, model in found} == {"gpt-4o-mini", ""}

    teams = environment(proxy_db, lago, RECONCILE_EXCLUDE="customer:internal", LAGO_API_CHARGE_BY="team_id")
    found = totals(teams)
    assert found == used(proxy_db, customer="team_id", where="team_id <> 'internal'")
    assert {customer for customer, _ in found} == {"team-a"}


def test_excluded_usage_is_neither_suspect_nor_unattributed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(team_id="internal", end_user=None), spend_row(team_id="internal"))
    summary = reconcile(environment(proxy_db, lago, RECONCILE_EXCLUDE="team:internal"), since="2h")
    assert (summary.tally.unattributed_rows, summary.tally.suspect_rows, summary.tally.events_planned) == (0, 0, 0)
    assert summary.tally.windows > 0
