"""What Lago is known to choke on or to count wrongly is quarantined before it is sent."""

import random
import string

import pytest

from reconciler.sandbox import Sandbox
from tests import commands
from tests.conftest import Database, spend_row
from tests.support import EVENTS, assert_exact, batches, environment, reconcile, reconcile_while_undecided

COUNTS_0 = "not sent: it holds 1,000,000,000,000 or more of something: from there on Lago's ClickHouse counts 0"
HUGE = 2_000_000_000  # tokens in one row; 600 of them are more than ClickHouse can count


def test_a_subscription_that_is_too_long_for_lagos_index(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(), spend_row(end_user="x" * 2621), spend_row(end_user="y" * 2622))
    done = reconcile(environment(proxy_db, lago), since="2h")
    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 2, 1)
    [(answer,)] = proxy_db.fetch(f"SELECT answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert answer == "not sent: its subscription's name has 2622 bytes, Lago's index takes 2621"
    assert_exact(proxy_db, lago, where="length(end_user) < 2622", undelivered=1)
    assert len(lago.events()) == sum(len(ids) for ids in batches(lago)) == 2, "the other was not sent"


def test_clickhouse_takes_long_names_and_no_number_of_a_trillion(proxy_db: Database, clickhouse: Sandbox) -> None:
    """Its ClickHouse would count 0 for it, and say nothing."""
    costs = {"x" * 3000: 0.5, "less": 999_999_999_999.0, "limit": 1e12, "more": 2.5e12}
    proxy_db.insert(*(spend_row(end_user=name, spend=cost) for name, cost in costs.items()))
    proxy_db.insert(*(spend_row(end_user="tokens", prompt_tokens=HUGE) for _ in range(500)))
    done = reconcile(environment(proxy_db, clickhouse), since="2h")
    assert (done.exit_code, done.delivered.accepted, done.delivered.quarantined) == (3, 2, 3)
    answers = dict(proxy_db.fetch(f"SELECT customer, answer FROM {EVENTS} WHERE state = 'quarantined'"))
    assert answers == dict.fromkeys(("limit", "more", "tokens"), COUNTS_0)
    assert_exact(proxy_db, clickhouse, where="end_user = 'less' OR end_user LIKE 'xx%'", undelivered=3)


def test_lagos_postgres_counts_a_cost_of_a_trillion(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(spend=1e12))
    assert reconcile(environment(proxy_db, lago), since="2h").delivered.accepted == 1
    assert_exact(proxy_db, lago)


def test_text_that_only_looks_like_a_nul_is_sent(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(end_user=r"a\u0000b"), spend_row(model=r"a\u0000b"))
    assert reconcile(environment(proxy_db, lago), since="2h").exit_code == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_person_can_have_it_sent_all_the_same(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    name = "".join(random.Random(1).choices(string.ascii_letters, k=2622))  # Postgres can't make it shorter
    proxy_db.insert(spend_row(), spend_row(end_user=name))
    reconcile(environ, since="2h")
    assert commands.run(environ, "quarantine", "retry", "--all").returncode == 0
    proxy_db.insert(spend_row(model="another"))
    reconcile_while_undecided(environ, proxy_db)
    [(answer,)] = proxy_db.fetch(f"SELECT answer FROM {EVENTS} WHERE state = 'quarantined'")
    assert "500" in answer
