"""An acknowledged alarm rings again when there is more of it, in number or in USD, than at any time since."""

from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.ledger import alarms
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.store import open_ledger
from reconciler.report.status import acknowledge
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database, spend_row
from tests.support import environment, reconcile

Steps = list[tuple[str, str, bool]]
"""How many buckets, how many USD, and whether it is to ring."""

GROWTH: dict[str, Steps] = {
    "less is quiet, and more than the least rings": [("9", "9", False), ("3", "9", False), ("8", "9", True)],
    "the least counts in USD, too": [("9", "90", False), ("9", "20", False), ("9", "62.5", True)],
    "more in USD and less in number rings": [("3", "90.000000000000000000000000001", True)],
    "less in USD and more in number rings": [("10", "1", True)],
    "as much as ever stays quiet": [("9", "90", False), ("9", "90.000", False)],
    "the least of each is its own": [("3", "90", False), ("3", "20", False), ("3", "21", True)],
}


@pytest.mark.parametrize("name", GROWTH)
def test_an_acknowledged_alarm_rings_at_more_than_the_least_since(name: str, proxy_db: Database) -> None:
    settings = load_settings(environ={"DATABASE_URL": proxy_db.url}, require_lago=False)
    ledger = open_ledger(settings)

    def ring(extent: str, cost: str) -> bool:
        """Ring; say whether a person should look."""
        with ledger.transaction() as connection:
            alarms.ring(connection, "m", Alarm("unmapped", "words", Decimal(extent), Decimal(cost)))
            [alarm] = alarms.list_standing(connection)
            return alarm.acknowledged_at is None

    ledger.upgrade()
    assert ring("9", "90")
    acknowledge(settings, 1, "their contract is in the post")
    assert [ring(extent, cost) for extent, cost, _ in GROWTH[name]] == [rings for *_, rings in GROWTH[name]]
    ledger.close()


@pytest.mark.proof
def test_unmapped_customers_ring_again_after_fewer_were_left(proxy_db: Database, lago: Sandbox, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.csv"
    mapping.write_text("customer,subscription\n")
    environ = environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping))
    proxy_db.insert(*(spend_row(end_user=f"old {number}", spend=1.0) for number in range(9)))
    [alarm] = reconcile(environ, since="1d").alarms
    assert (alarm["kind"], alarm["extent"], alarm["cost"]) == ("unmapped", "9", "9")
    assert " lacks 9 customers with usage (9 buckets, 9 USD), most of it of old " in alarm["message"]
    acknowledge(load_settings(environ=environ), alarm["id"], "they are new")

    mapping.write_text("customer,subscription\n" + "".join(f"old {number},s{number}\n" for number in range(6)))
    assert reconcile(environ).exit_code == 0
    proxy_db.insert(*(spend_row(end_user=f"new {number}", spend=12.5) for number in range(5)))
    grown = reconcile(environ)
    assert grown.exit_code == 3
    assert [(each["acknowledged"], each["extent"], each["cost"]) for each in grown.alarms] == [(False, "8", "65.5")]
    [(names, buckets, cost)] = proxy_db.fetch(
        "SELECT array_agg(customer ORDER BY customer), sum(buckets), sum(cost) FROM reconciler.unbilled"
    )
    assert names == [*(f"new {number}" for number in range(5)), "old 6", "old 7", "old 8"]
    assert (buckets, cost) == (8, Decimal("65.5"))
