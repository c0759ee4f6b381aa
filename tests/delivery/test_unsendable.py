"""What Lago is known to choke on or to count wrongly is quarantined before it is sent."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.delivery.unsendable import unsendable
from reconciler.lago.client import Store
from reconciler.ledger.outbox import Event
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.process import run
from tests.support import assert_exact, environment, reconcile, reconcile_while_undecided

HUGE = 2_000_000_000  # tokens in one row; 600 of them are more than ClickHouse can count


def test_a_subscription_that_is_too_long_for_lagos_index(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(), spend_row(end_user="x" * 2621), spend_row(end_user="y" * 2622))
    done = reconcile(environment(proxy_db, lago), since="2h")
    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 2, 1)
    [(answer,)] = proxy_db.fetch("SELECT answer FROM reconciler.event WHERE state = 'quarantined'")
    assert answer == "not sent: its subscription's name has 2622 bytes, Lago's index takes 2621"
    assert_exact(proxy_db, lago, where="length(end_user) < 2622", undelivered=1)
    assert all(len(request["ids"]) == 2 for request in lago.requests() if request["ids"])


def test_clickhouse_takes_long_names_and_no_number_of_a_trillion(proxy_db: Database) -> None:
    with Sandbox(store="clickhouse") as lago:
        proxy_db.insert(spend_row(end_user="x" * 3000), *(spend_row(prompt_tokens=HUGE) for _ in range(500)))
        done = reconcile(environment(proxy_db, lago), since="2h")
        assert (done.delivered.accepted, done.delivered.quarantined) == (1, 1)
        [(answer,)] = proxy_db.fetch("SELECT answer FROM reconciler.event WHERE state = 'quarantined'")
        assert answer.startswith("not sent: input_tokens is 1000000000000")


def test_a_cost_of_a_trillion_or_more_is_not_sent_to_clickhouse(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Its ClickHouse would count 0 for it, and say nothing."""
    costs = {"less": 999_999_999_999.0, "limit": 1e12, "more": 2.5e12}
    proxy_db.insert(*(spend_row(end_user=name, spend=cost) for name, cost in costs.items()))
    done = reconcile(environment(proxy_db, clickhouse), since="2h")
    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 1, 2)
    answers = dict(proxy_db.fetch("SELECT customer, answer FROM reconciler.event WHERE state = 'quarantined'"))
    end = ": from 1,000,000,000,000 on Lago's ClickHouse counts 0"
    assert answers == {
        "limit": f"not sent: response_cost is 1000000000000{end}",
        "more": f"not sent: response_cost is 2500000000000{end}",
    }
    assert_exact(proxy_db, clickhouse, where="end_user = 'less'", undelivered=2)


def test_lagos_postgres_counts_a_cost_of_a_trillion(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(spend=1e12))
    assert reconcile(environment(proxy_db, lago), since="2h").delivered.accepted == 1
    assert_exact(proxy_db, lago)


@pytest.mark.parametrize("column", ["end_user", "model"])
def test_text_that_only_looks_like_a_nul_is_sent(proxy_db: Database, lago: Sandbox, column: str) -> None:
    proxy_db.insert(spend_row(**{column: r"a\u0000b"}))
    assert reconcile(environment(proxy_db, lago), since="2h").exit_code == 0
    assert_exact(proxy_db, lago)


def claimed(**sent: Any) -> Event:
    """An event whose payload differs in some members."""
    plain = {"transaction_id": "r1_0", "external_subscription_id": "acme", "properties": {"model": "gpt-4o"}}
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    return Event(
        window_start=moment, bucket=b"", revision=0, payload=json.dumps(plain | sent), subscription="acme", attempts=1,
        open_since=None, suspected=0, decided=False, claimed_at=moment, leased_at=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("store", ["postgres", "clickhouse", "unknown"])
@pytest.mark.parametrize("nul", [{"external_subscription_id": "a\0"}, {"properties": {"model": "a\0b"}}], ids=str)
def test_a_nul_is_not_sent(store: Store, nul: dict[str, Any]) -> None:
    """A row can not bring one here: Postgres has none in its texts."""
    assert unsendable(claimed(), store) is None
    assert unsendable(claimed(**nul), store) == "it holds a NUL character, which Lago's database can't store"


def test_a_person_can_have_it_sent_all_the_same(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(), spend_row(end_user="y" * 2622))
    reconcile(environ, since="2h")
    assert run(environ, "quarantine", "retry", "--all").returncode == 0
    proxy_db.insert(spend_row(model="another"))
    reconcile_while_undecided(environ, proxy_db)
    [(answer,)] = proxy_db.fetch("SELECT answer FROM reconciler.event WHERE state = 'quarantined'")
    assert "500" in answer
