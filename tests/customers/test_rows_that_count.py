"""Which rows are billed: successes, failures that cost, cache hits unless told; never rows that make no sense."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from reconciler.model.identity import transaction_id
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import CODE, Usage, assert_exact, counted, environment, make_metric, reconcile

MINI = "openai/gpt-4o-mini"
COST = Decimal("0.0000135")


def test_failures_that_cost_and_rows_without_a_status_are_billed(proxy_db: Database, lago: Sandbox) -> None:
    failed = {"end_user": "failed", "status": "failure"}
    proxy_db.insert(
        spend_row(end_user="failed"),
        spend_row(**failed),
        spend_row(**failed, spend=0.0, prompt_tokens=8, completion_tokens=0),
        *(spend_row(status=status, spend=cost) for status, cost in ((None, 1.35e-05), (None, 0.0), ("odd", 1.35e-05))),
    )
    reconcile(environment(proxy_db, lago), since="2h")
    assert counted(lago) == {("failed", MINI): Usage(20, 40, 2 * COST, 2), ("acme", MINI): Usage(30, 60, 2 * COST, 3)}
    assert_exact(proxy_db, lago)


def test_usage_that_measures_nothing_makes_no_event(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(
        spend_row(spend=0.0, prompt_tokens=0, completion_tokens=0),
        spend_row(end_user="free", spend=0.0),
        spend_row(end_user="flat", prompt_tokens=0, completion_tokens=0),
    )
    assert reconcile(environment(proxy_db, lago), since="2h").tally.events_planned == 2
    assert counted(lago) == {("free", MINI): Usage(10, 20, Decimal(0), 1), ("flat", MINI): Usage(0, 0, COST, 1)}


def test_cache_hits_count_their_tokens_unless_told(proxy_db: Database, lago: Sandbox) -> None:
    """A cache hit that costs is billed in any case."""
    hit = {"cache_hit": "True"}
    proxy_db.insert(spend_row(cache_hit=None), spend_row(spend=0.0, **hit), spend_row(**hit))
    for setting, usage in (("true", Usage(30, 60, 2 * COST, 3)), ("false", Usage(20, 40, 2 * COST, 2))):
        make_metric(lago, setting)
        mine = {"RECONCILE_METER": setting, "LAGO_API_EVENT_CODE": setting, "RECONCILE_CACHE_HITS": setting}
        reconcile(environment(proxy_db, lago) | mine, since="2h")
        assert counted(lago, code=setting) == {("acme", MINI): usage}


def test_suspect_rows_count_for_nothing_and_are_counted(proxy_db: Database, lago: Sandbox) -> None:
    suspect: list[dict[str, Any]] = [
        {"spend": -1e-07},
        {"spend": float("nan")},
        {"spend": float("inf")},
        {"spend": float("-inf")},
        {"prompt_tokens": -1},
        {"completion_tokens": -1},
    ]
    alone = [spend_row(end_user=f"customer {number}", **fields) for number, fields in enumerate(suspect)]
    beside = [spend_row(**fields) for fields in suspect]
    proxy_db.insert(*alone, *beside, spend_row())
    environ = environment(proxy_db, lago)
    summary = reconcile(environ, since="2h")
    assert counted(lago) == {("acme", MINI): Usage(10, 20, COST, 1)}
    assert summary.tally.suspect_rows == 12
    assert [alarm["kind"] for alarm in summary.alarms] == ["suspect"]
    assert summary.exit_code == 3
    assert_exact(proxy_db, lago)

    proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET spend = 0.5, prompt_tokens = 1, completion_tokens = 1
                      WHERE end_user <> 'acme'""")
    summary = reconcile(environ)
    assert (summary.tally.suspect_rows, summary.delivered.accepted) == (6, 6)
    assert_exact(proxy_db, lago)


def test_the_model_may_be_the_name_that_the_client_asked_for(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(), spend_row(model_group=None), spend_row(model_group=""), spend_row(model="other"))
    reconcile(environment(proxy_db, lago, RECONCILE_MODEL_COLUMN="model_group"), since="2h")
    assert counted(lago) == {
        ("acme", "gpt-4o-mini"): Usage(20, 40, 2 * COST, 2),
        ("acme", ""): Usage(20, 40, 2 * COST, 2),
    }
    assert_exact(proxy_db, lago, model="model_group")


def test_without_a_model_column_a_customers_usage_of_a_window_is_one_event(
    proxy_db: Database, ledger: Database, lago: Sandbox
) -> None:
    proxy_db.insert(spend_row(), spend_row(model="other"), spend_row(model=""), spend_row(model="byok/llama"))
    none = {"RECONCILE_MODEL_COLUMN": "none", "RECONCILE_EXCLUDE": "model:byok/*"}
    reconcile(environment(proxy_db, lago, ledger=ledger, **none), since="2h")
    assert counted(lago) == {("acme", ""): Usage(30, 60, 3 * COST, 3)}
    [event] = lago.events()
    assert event["properties"]["model"] == ""
    key = event["properties"]["window"].partition("/")[0]
    start = datetime.fromisoformat(key)
    assert event["transaction_id"] == transaction_id("default", CODE, "end_user_id", start, 900, "acme", "", 0)
