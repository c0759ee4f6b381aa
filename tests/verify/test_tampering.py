"""What people and outages do to what Lago holds: each is found and named, and exact after a repair where it can be."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from reconciler.verify.report import Report
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, long_ago
from tests.support import CODE, STORES, assert_exact, environment, let_minutes_pass, reconcile, states
from tests.verify.conftest import is_open, post, verify
from tests.verify.test_strangers import CALLBACK


def drifts(report: Report) -> set[str]:
    """What a person should look at in legs c and d."""
    assert report.errors == []
    return {f"{leg.name}: {kind.name}" for leg in report.legs for kind in leg.sums if kind.drift}


class World:
    """A customer of 0.5 USD in a Lago, and what tampers with it."""

    def __init__(self, source: Database, billing: Billing, more: dict[str, str]) -> None:
        self.source = source
        self.billing = billing
        self.lago = billing.lago
        self.environ = environment(source, self.lago) | more
        billing.subscribe(made=long_ago())
        source.insert(spend_row(spend=0.5))

    def bill(self) -> None:
        reconcile(self.environ, since="2h")

    def grow_old(self) -> None:
        """Let time pass after which Lago has come to all that it will."""
        for _ in range(4):
            let_minutes_pass(self.source)

    @property
    def ours(self) -> dict[str, Any]:
        [(text,)] = self.source.fetch("SELECT payload FROM reconciler.event")
        event: dict[str, Any] = json.loads(text)
        return event

    def post(self, event: dict[str, Any]) -> None:
        post(self.lago, "events", {"event": event})

    def lose_a_kafka_message(self) -> None:
        self.lago.clickhouse(losses=[{"external_subscription_id": "acme", "count": 1}])
        self.source.insert(spend_row(spend=0.25, model="other"))
        self.bill()

    def lose_the_event(self) -> None:
        self.bill()
        self.lago.forget(CODE)

    def change(self) -> None:
        self.bill()
        self.post(self.ours | {"properties": self.ours["properties"] | {"response_cost": "7"}})

    def double(self) -> None:
        self.bill()
        self.post(self.ours)

    def add_a_foreign_event(self) -> None:
        self.bill()
        place = {name: self.ours[name] for name in ("code", "timestamp", "external_subscription_id")}
        self.post(CALLBACK | place)

    def delete_the_metric(self) -> None:
        self.bill()
        self.billing.api.delete(f"billable_metrics/{CODE}").raise_for_status()

    def terminate_without_an_invoice(self) -> None:
        self.bill()
        self.billing.end(on_termination_invoice="skip")

    def pause_the_usage_worker(self) -> None:
        self.bill()
        assert self.billing.current()  # Lago has it in its cache
        self.lago.worker(paused=True)
        self.source.insert(spend_row(spend=0.25))
        reconcile(self.environ)


TAMPERING: list[tuple[Callable[[World], None], str, set[str], set[str], dict[str, int]]] = [
    (World.lose_a_kafka_message, "clickhouse", {"c: missing in Lago", "d: counts less"}, set(), {"accepted": 2}),
    (
        World.lose_a_kafka_message,
        "clickhouse, deduplicating",
        {"c: missing in Lago", "d: counts less"},
        set(),
        {"accepted": 2},
    ),
    (World.lose_the_event, "postgres", {"c: missing in Lago", "d: counts less"}, set(), {"quarantined": 1}),
    (World.change, "clickhouse", {"c: another event in Lago", "d: counts more"}, set(), {"quarantined": 1}),
    (
        World.double,
        "clickhouse",
        {"c: twice in Lago", "d: counts more"},
        {"c: twice in Lago", "d: counts more"},
        {"accepted": 1},
    ),
    (
        World.add_a_foreign_event,
        "postgres",
        {"c: billed twice, by LiteLLM's callback", "d: others count, too"},
        {"c: billed twice, by LiteLLM's callback", "d: others count, too"},
        {"accepted": 1},
    ),
    (World.delete_the_metric, "postgres", {"d: no metric"}, {"d: no metric"}, {"accepted": 1}),
    (World.terminate_without_an_invoice, "postgres", {"d: in no invoice"}, {"d: in no invoice"}, {"accepted": 1}),
    (World.pause_the_usage_worker, "postgres", {"d: stale"}, {"d: stale"}, {"accepted": 2}),
]


@pytest.fixture
def lago_of(store: str) -> Iterator[tuple[Billing, dict[str, str]]]:
    options, more = STORES[store]
    with Sandbox(**options) as lago:
        if options:
            lago.clickhouse(lag=0)
        billing = Billing(lago)
        with closing(billing.api):
            yield billing, {"RECONCILE_LAG": "0s", **more} if options else more


@pytest.mark.parametrize(("tamper", "store", "found", "left", "ends"), TAMPERING)
def test_each_is_found_and_named_and_mended_where_it_can_be(
    tamper: Callable[[World], None],
    store: str,
    found: set[str],
    left: set[str],
    ends: dict[str, int],
    proxy_db: Database,
    lago_of: tuple[Billing, dict[str, str]],
) -> None:
    world = World(proxy_db, *lago_of)
    tamper(world)
    world.grow_old()
    assert drifts(verify(world.environ, dry_run=True)) == found
    report = verify(world.environ, repair=True)
    assert drifts(report) >= {each for each in found if each.startswith("c")}
    let_minutes_pass(proxy_db)
    reconcile(world.environ)
    world.grow_old()
    report = verify(world.environ, "2h")
    assert (drifts(report), states(proxy_db)) == (left, ends)
    if not left and ends.keys() == {"accepted"}:
        assert not is_open(report)
        assert_exact(proxy_db, world.lago)
