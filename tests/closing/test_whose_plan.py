"""Whose usage is closed: all that goes to the subscription, in each meter of the settings."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.model.errors import LagoError
from reconciler.passes.closing.close import Close
from reconciler.passes.run import Pass, Request
from reconciler.settings.load import load_settings
from tests.closing.conftest import Billing, Clock, closed
from tests.conftest import Database, spend_row
from tests.periods.conftest import long_ago
from tests.support import BATCH, CODE, QUICK, environment, reconcile

MINUTE = timedelta(minutes=1)


def test_customers_that_share_a_subscription(
    proxy_db: Database, billing: Billing, clock: Clock, tmp_path: Path
) -> None:
    mapping = tmp_path / "mapping.csv"
    mapping.write_text("customer,subscription\nacme,shared\nglobex,shared\nother,other\n")
    billing.subscribe("shared", made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s", RECONCILE_MAPPING=str(mapping))
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ)
    proxy_db.insert(
        *(spend_row(end_user=name, spend=4, startTime=clock.window) for name in ("acme", "globex", "other"))
    )
    found = closed(environ)
    assert (found.subscription, found.events, found.cost) == ("shared", 2, Decimal(8))
    billing.end("shared")
    assert billing.invoiced() == [Decimal(8)]


@pytest.mark.proof(seconds=1)
def test_what_another_subscription_has_in_the_way(
    proxy_db: Database, billing: Billing, clock: Clock, tmp_path: Path
) -> None:
    """A bucket's events go one after the other, and the customer was mapped elsewhere when the first was planned."""
    mapping = tmp_path / "mapping.csv"
    mapping.write_text("customer,subscription\nacme,wrong\n")
    for name in ("wrong", "acme"):
        billing.subscribe(name, made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s", RECONCILE_MAPPING=str(mapping))
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ)
    proxy_db.insert(spend_row(spend=4, startTime=clock.window))
    billing.lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    with pytest.raises(LagoError):
        closed(environ)
    billing.lago.clear_faults()
    mapping.write_text("customer,subscription\nacme,acme\n")
    proxy_db.insert(spend_row(spend=8, startTime=clock.window))
    found = closed(environ, limit="5")
    assert (found.outcome, found.cost) == ("closed", Decimal(8))


def test_a_meter_that_has_billed_nothing_of_the_name(
    proxy_db: Database, billing: Billing, clock: Clock, tmp_path: Path
) -> None:
    billing.subscribe(made=long_ago())
    file = tmp_path / "reconcile.toml"
    file.write_text(f"""
[meters.customers]
lago_api_event_code = "{CODE}"

[meters.teams]
lago_api_event_code = "{CODE}"
lago_api_charge_by = "team_id"
subscription = "team-{{id}}"
exclude = "customer:other"
""")
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s", RECONCILE_CONFIG=str(file))
    settings = replace(
        load_settings(environ={name: text for name, text in environ.items() if "LAGO_API_E" not in name}), limits=QUICK
    )
    clock.set(clock.window + 7 * MINUTE)
    for done in Pass(settings).run(Request(adopt=True)):
        assert done.error is None
    proxy_db.insert(spend_row(spend=4, startTime=clock.window, team_id=""))
    customers, teams = Close(settings).run("acme").meters
    assert (customers.outcome, customers.cost) == ("closed", Decimal(4))
    assert (teams.outcome, teams.exit_code, teams.subscription) == ("nothing to close", 0, "team-acme")


@pytest.mark.proof(seconds=1)
def test_what_another_ledger_has_sent_of_the_open_window_is_seen(
    proxy_db: Database, billing: Billing, clock: Clock
) -> None:
    """Lago is asked about the part up to the instant when it is closed, and about the rest with the whole window."""
    billing.subscribe(made=long_ago())
    environ = environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s")
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ)
    proxy_db.insert(*(spend_row(end_user=name, spend=4, startTime=clock.window) for name in ("acme", "globex")))
    closed(environ)
    [event] = billing.lago.events()
    foreign = event["properties"] | {"customer": "globex"}
    end = clock.window.timestamp() + 899.999
    about = {"external_subscription_id": "globex", "code": CODE, "timestamp": f"{end:.3f}", "properties": foreign}
    billing.ask("POST", "events", {"event": {"transaction_id": "r1_foreign", **about}})
    clock.reset()
    done = reconcile(environ)
    assert (done.delivered.accepted, [alarm["kind"] for alarm in done.alarms]) == (0, ["foreign"])
