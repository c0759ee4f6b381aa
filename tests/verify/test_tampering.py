"""What people and outages do to what Lago holds: each is found and named, and exact after a repair where it can be."""

import json
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from reconciler.sandbox import Sandbox
from reconciler.verify.report import Report
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing, long_ago
from tests.support import STORES, assert_exact, counted, environment, let_minutes_pass, reconcile, states
from tests.verify.conftest import is_open, post, verify
from tests.verify.test_strangers import CALLBACK


def drifts(report: Report) -> dict[str, set[str]]:
    """What a person should look at in legs c and d, by customer."""
    assert report.errors == []
    found: dict[str, set[str]] = {}
    for leg in report.legs:
        for each in leg.worst:
            if each.kind.drift:
                found.setdefault(each.customer, set()).add(f"{leg.name}: {each.kind.name}")
    return found


class World:
    """Customers of 0.5 USD each in a Lago of some store, and what tampers with them: a customer is called by it."""

    def __init__(self, source: Database, billing: Billing, more: dict[str, str], names: Sequence[str]) -> None:
        self.source = source
        self.billing = billing
        self.lago = billing.lago
        self.environ = environment(source, self.lago) | more
        for name in names:
            billing.subscribe(name, made=long_ago())
        if "lost" in names:
            self.lago.clickhouse(losses=[{"external_subscription_id": "lost", "count": 1}])
        source.insert(*(spend_row(end_user=name, spend=0.5) for name in names))
        reconcile(self.environ, since="2h")
        for name in names:
            getattr(self, name)()

    def grow_old(self) -> None:
        """Let time pass after which Lago has come to all that it will."""
        for _ in range(4):
            let_minutes_pass(self.source)

    def ours(self, customer: str) -> dict[str, Any]:
        [(text,)] = self.source.fetch("SELECT payload FROM reconciler.event WHERE customer = %s", customer)
        event: dict[str, Any] = json.loads(text)
        return event

    def post(self, event: dict[str, Any]) -> None:
        post(self.lago, "events", {"event": event})

    def lost(self) -> None:
        """A message of Kafka's, on the way."""

    def fine(self) -> None:
        """Nothing tampers with it."""

    def changed(self) -> None:
        ours = self.ours("changed")
        self.post(ours | {"properties": ours["properties"] | {"response_cost": "7"}})

    def doubled(self) -> None:
        self.post(self.ours("doubled"))

    def foreign(self) -> None:
        """LiteLLM's callback bills as well."""
        ours = self.ours("foreign")
        self.post(CALLBACK | {name: ours[name] for name in ("code", "timestamp", "external_subscription_id")})

    def ended(self) -> None:
        """Without an invoice."""
        self.billing.end("ended", on_termination_invoice="skip")

    def stale(self) -> None:
        """Lago has the customer's usage in its cache, and its worker is paused."""
        assert self.billing.current("stale")
        self.lago.worker(paused=True)
        self.source.insert(spend_row(end_user="stale", spend=0.25))
        reconcile(self.environ)


TWICE = {"c: twice in Lago", "d: counts more"}
CALLBACK_S = {"c: billed twice, by LiteLLM's callback", "d: others count, too"}
LOST = {"c: missing in Lago", "d: counts less"}

# By store: what each suffers, what is found, what is left after a repair, and how events end.
TAMPERING: dict[str, tuple[dict[str, set[str]], dict[str, set[str]], dict[str, int]]] = {
    "postgres": (
        {"foreign": CALLBACK_S, "ended": {"d: in no invoice"}, "stale": {"d: stale"}},
        {"foreign": CALLBACK_S, "ended": {"d: in no invoice"}, "stale": {"d: stale"}},
        {"accepted": 4},
    ),
    "clickhouse": (
        {"lost": LOST, "changed": {"c: another event in Lago", "d: counts more"}, "doubled": TWICE},
        {"doubled": TWICE},
        {"accepted": 2, "quarantined": 1},
    ),
    "clickhouse, deduplicating": ({"lost": LOST, "fine": set()}, {}, {"accepted": 2}),
}


@pytest.mark.proof
@pytest.mark.parametrize("store", TAMPERING)
def test_each_is_found_and_named_and_mended_where_it_can_be(store: str, proxy_db: Database) -> None:
    suffered, left, ends = TAMPERING[store]
    found = {name: kinds for name, kinds in suffered.items() if kinds}
    options, more = STORES[store]
    with Sandbox(**options) as lago, closing((billing := Billing(lago)).api):
        if options:
            lago.clickhouse(lag=0)
            more = {"RECONCILE_LAG": "0s", **more}
        world = World(proxy_db, billing, more, list(suffered))
        world.grow_old()
        assert drifts(verify(world.environ, dry_run=True)) == found
        for name, kinds in drifts(verify(world.environ, repair=True)).items():
            assert kinds >= {kind for kind in found[name] if kind.startswith("c")}
        let_minutes_pass(proxy_db)
        reconcile(world.environ)
        world.grow_old()
        report = verify(world.environ, "2h")
        assert (drifts(report), states(proxy_db)) == (left, ends)
        if "lost" in suffered:
            assert counted(lago)["lost", "openai/gpt-4o-mini"].cost == Decimal("0.5")
        if not left:
            assert not is_open(report)
            assert_exact(proxy_db, lago)
