"""What RECONCILE_EXCLUDE names is not billed: internal teams, health checks, models that customers bring."""

from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, counted, environment, reconcile, used

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


@pytest.mark.parametrize(
    ("exclude", "left_out"),
    [
        ("customer:internal-ci", {"customer"}),
        ("customer:internal-*", {"customer"}),
        ("customer:*-ci", {"customer"}),
        ("user:admin", {"user"}),
        ("user:a*", {"user"}),
        ("team:internal", {"team"}),
        ("team:*ern*", {"team"}),
        ("key:litellm-internal-*", {"key"}),
        ("model:byok/*", {"model"}),
        ("customer:100%", {"percent"}),
        ("customer:%", set()),
        ("customer:a_b", {"underscore"}),
        ("customer:a\\b", {"backslash"}),
        ("customer:o'hara", {"quote"}),
        ("team:internal, model:byok/*,, user:admin", {"team", "model", "user"}),
        ("customer:*", {row["request_id"] for row in ROWS}),
    ],
)
def test_leaves_out_exactly_what_it_names(proxy_db: Database, lago: Sandbox, exclude: str, left_out: set[str]) -> None:
    proxy_db.insert(*(spend_row(**row) for row in ROWS))
    summary = reconcile(environment(proxy_db, lago, RECONCILE_EXCLUDE=exclude), since="2h")
    names = ", ".join(f"'{name}'" for name in left_out) or "''"
    assert_exact(proxy_db, lago, where=f"request_id NOT IN ({names})")
    assert sum(usage.requests for usage in counted(lago).values()) == len(ROWS) - len(left_out)
    assert summary.exit_code == 0


def test_a_model_is_excluded_by_the_name_that_is_billed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(), spend_row(model_group="byok"), spend_row(model_group=None))
    environ = environment(proxy_db, lago, RECONCILE_EXCLUDE="model:byok", RECONCILE_MODEL_COLUMN="model_group")
    reconcile(environ, since="2h")
    expected = used(proxy_db, model="model_group", where="model_group IS DISTINCT FROM 'byok'")
    assert counted(lago) == expected
    assert {model for _, model in expected} == {"gpt-4o-mini", ""}


def test_a_customer_is_excluded_by_the_column_that_is_billed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(team_id="team-b"), spend_row(team_id="internal", end_user="acme"))
    environ = environment(proxy_db, lago, RECONCILE_EXCLUDE="customer:internal", LAGO_API_CHARGE_BY="team_id")
    reconcile(environ, since="2h")
    assert_exact(proxy_db, lago, customer="team_id", where="team_id <> 'internal'")
    assert {customer for customer, _ in counted(lago)} == {"team-b"}


def test_excluded_usage_is_neither_suspect_nor_unattributed(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(team_id="internal", end_user=None), spend_row(team_id="internal"))
    summary = reconcile(environment(proxy_db, lago, RECONCILE_EXCLUDE="team:internal"), since="2h")
    assert (summary.tally.unattributed_rows, summary.tally.suspect_rows, summary.tally.events_planned) == (0, 0, 0)
    assert summary.tally.windows > 0
