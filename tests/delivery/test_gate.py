"""The gate: before the first batch it is known that Lago is the one it was, and has a metric for what is sent."""

from typing import Any

import pytest

from reconciler.model.errors import LagoError, MeterChangedError
from reconciler.sandbox import Sandbox
from tests import process
from tests.conftest import Database, spend_row
from tests.support import (
    BATCH,
    assert_exact,
    backlog,
    batches,
    environment,
    make_metric,
    reconcile,
    states,
)

OTHER_KEY = "11111111-1111-4111-8111-111111111111"


def organization(ledger: Database) -> str | None:
    [(known,)] = ledger.fetch("SELECT organization FROM reconciler.meter")
    return str(known) if known else None


@pytest.mark.proof
def test_another_organization_s_key_is_refused_until_it_is_declared(proxy_db: Database) -> None:
    """A cloud has one address for all: the key alone says whose usage it is."""
    with Sandbox(other_api_keys=[OTHER_KEY]) as lago:
        environ = environment(proxy_db, lago)
        other = environ | {"LAGO_API_KEY": OTHER_KEY}
        proxy_db.insert(spend_row())
        assert reconcile(environ, since="2h").delivered.accepted == 1
        first = organization(proxy_db)
        assert first

        proxy_db.insert(spend_row(model="later"))
        lago.clear_requests()
        with pytest.raises(MeterChangedError, match="Nothing was sent") as refused:
            reconcile(other)
        assert first in str(refused.value)
        assert "--adopt" in str(refused.value)
        assert "RECONCILE_METER" in str(refused.value)
        assert batches(lago) == []
        assert states(proxy_db) == {"accepted": 1, "planned": 1}
        assert process.run(other).returncode == 1

        with pytest.raises(LagoError, match="no billable metric"):
            reconcile(other, adopt=True)
        assert organization(proxy_db) not in {None, first}
        make_metric(lago, api_key=OTHER_KEY)
        assert reconcile(other).delivered.accepted == 1
        assert [event["properties"]["model"] for event in lago.events(OTHER_KEY)] == ["later"]
        assert len(lago.events()) == 1


def test_a_key_that_may_not_read_the_organization_goes_on(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    lago.permissions(organization=[])
    proxy_db.insert(spend_row())
    assert reconcile(environ, since="2h").delivered.accepted == 1
    assert organization(proxy_db) is None
    lago.permissions()
    proxy_db.insert(spend_row(model="later"))
    assert reconcile(environ).delivered.accepted == 1
    assert organization(proxy_db), "known as soon as it is told"
    assert_exact(proxy_db, lago)


def test_a_code_without_a_metric_is_named_and_everything_stays_planned(proxy_db: Database, lago: Sandbox) -> None:
    code = "llm_usgae"
    environ = environment(proxy_db, lago, LAGO_API_EVENT_CODE=code)
    proxy_db.insert(spend_row())
    finished = process.run(environ, "--since", "2h")
    assert finished.returncode == 1
    [sentence] = process.sentences(finished)
    assert f"no billable metric with the code {code!r}" in sentence
    assert "LAGO_API_EVENT_CODE" in sentence
    assert states(proxy_db) == {"planned": 1}
    assert batches(lago) == []

    make_metric(lago, code)
    assert reconcile(environ).delivered.accepted == 1
    assert_exact(proxy_db, lago, code=code)


def test_a_metric_is_asked_for_once(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    for model in ("one", "two"):
        proxy_db.insert(spend_row(model=model))
        reconcile(environ, since="2h")
    asked = [request["path"] for request in lago.requests() if request["method"] == "GET"]
    assert sum("/billable_metrics/" in path for path in asked) == 1


def test_a_key_that_may_not_read_metrics_goes_on(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    lago.permissions(billable_metric=["write"])
    proxy_db.insert(spend_row())
    assert reconcile(environ, since="2h").delivered.accepted == 1
    assert_exact(proxy_db, lago)


def test_what_was_admitted_a_moment_ago_is_not_written_again(proxy_db: Database, lago: Sandbox) -> None:
    """A backlog that lasts would else cost a write for each of its batches in each pass."""
    environ = backlog(proxy_db, lago, 101) | {"RECONCILE_CONNECTIONS": "1"}
    lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})

    def admitted() -> list[tuple[Any, ...]]:
        with pytest.raises(LagoError, match="401"):
            reconcile(environ)
        return proxy_db.fetch("SELECT xmin, admitted_at FROM reconciler.batch WHERE attempts = 0")

    before = admitted()
    assert len(before) == 1
    assert admitted() == before
    proxy_db.fetch("UPDATE reconciler.batch SET admitted_at = admitted_at - interval '6 minutes'")
    [(_, at)] = admitted()
    assert at > before[0][1]
