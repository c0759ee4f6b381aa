"""A Lago with customers whose periods end: by a month, an upgrade, an end."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from reconciler.delivery.mirror import Mirror
from reconciler.delivery.periods import Periods
from reconciler.lago.client import Lago
from reconciler.ledger import meters
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import LagoError
from reconciler.report.figures import Delivered
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database
from tests.support import BATCH, CODE, environment, reconcile


class Billing:
    """A Lago, as its operator uses it: a metric, two plans at a dollar a unit of cost, subscriptions."""

    def __init__(self, lago: Sandbox) -> None:
        self.lago = lago
        self.api = httpx.Client(
            base_url=lago.url + "/api/v1", headers={"Authorization": f"Bearer {lago.api_key}"}, timeout=60
        )
        metric = {"name": "Cost", "code": CODE, "aggregation_type": "sum_agg", "field_name": "response_cost"}
        made = self.ask("POST", "billable_metrics", {"billable_metric": metric})["billable_metric"]
        charge = {"billable_metric_id": made["lago_id"], "charge_model": "standard", "properties": {"amount": "1"}}
        for code in ("llm", "better"):
            plan = {
                "name": code,
                "code": code,
                "interval": "monthly",
                "amount_cents": 0,
                "amount_currency": "USD",
                "pay_in_advance": False,
                "charges": [charge],
            }
            self.ask("POST", "plans", {"plan": plan})

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self.api.request(method, path, json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def subscribe(self, name: str = "acme", *, plan: str = "llm", made: datetime | None = None, **fields: Any) -> None:
        """Make a subscription now, or at a moment of the past, from when on Lago's clock comes back to now.

        Its months begin on its own day, so that no test is on the edge of one on the first.
        """
        if made is not None:
            self.lago.set_clock(made)
        wanted = {"external_customer_id": name, "plan_code": plan, "external_id": name, "billing_time": "anniversary"}
        wanted |= fields
        self.ask("POST", "subscriptions", {"subscription": wanted})
        if made is not None:
            self.lago.reset_clock()

    def end(self, name: str = "acme", **query: str) -> None:
        assert self.api.delete(f"subscriptions/{name}", params=query).status_code == 200

    def grace(self, days: int, name: str = "acme") -> None:
        customer = {"external_id": name, "billing_configuration": {"invoice_grace_period": days}}
        self.ask("POST", "customers", {"customer": customer})

    def invoiced(self) -> list[Decimal]:
        """What invoices come to, drafts refreshed, in USD; the latest first, those of nothing left out."""
        ids = [each["lago_id"] for each in self.ask("GET", "invoices")["invoices"]]
        found = [self.ask("PUT", f"invoices/{lago_id}/refresh")["invoice"] for lago_id in ids]
        return [Decimal(each["total_amount_cents"]) / 100 for each in found if each["total_amount_cents"]]

    def current(self, name: str = "acme") -> Decimal:
        """What the present period comes to so far, in USD."""
        path = f"customers/{name}/current_usage?external_subscription_id={name}"
        return Decimal(self.ask("GET", path)["customer_usage"]["amount_cents"]) / 100

    def number(self) -> str:
        """The newest invoice's number."""
        text: str = self.ask("GET", "invoices")["invoices"][0]["number"]
        return text

    def asked(self) -> list[str]:
        """What the reconciler has asked of subscriptions, usage and invoices since the requests were cleared."""
        kinds = ("/api/v1/subscriptions", "/api/v1/invoices", "/api/v1/customers")
        return [each["path"] for each in self.lago.requests() if each["path"].startswith(kinds)]


@pytest.fixture
def billing(lago: Sandbox) -> Iterator[Billing]:
    billing = Billing(lago)
    with closing(billing.api):
        yield billing


def now() -> datetime:
    return datetime.now(UTC)


def long_ago() -> datetime:
    """When a subscription began that is midway in its present month."""
    return now() - timedelta(days=45)


def last_period() -> datetime:
    """A moment of the month before that, at midnight."""
    return now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)


def held(ledger: Database) -> list[tuple[Any, ...]]:
    """Why events are held, and what they come to in USD."""
    return ledger.fetch("SELECT answer, cost FROM reconciler.batch WHERE state = 'held' ORDER BY id")


def planned(source: Database, lago: Sandbox, *, since: str) -> dict[str, str]:
    """Plan what is in the spend table while Lago refuses it; return the settings."""
    environ = environment(source, lago)
    lago.faults({"kind": "status", "status": 401, "count": None, "path": BATCH})
    with pytest.raises(LagoError):
        reconcile(environ | {"RECONCILE_CLOSED_PERIOD": "send"}, since=since)
    lago.clear_faults()
    lago.clear_requests()
    return environ


class Settled:
    """What `Periods.settle` did."""

    def __init__(self, environ: dict[str, str]) -> None:
        settings = load_settings(environ=environ)
        ledger = open_ledger(settings)
        lago = Lago.of(settings)
        with ledger.transaction() as connection:
            meter = meters.load(connection, "default")
        assert meter is not None
        mirror = Mirror(meter, ledger, lago, None, now())
        periods = Periods(mirror, settings.meters[0].closed_period)
        done = Delivered()
        self.kept_back = periods.settle(done)
        self.held = done.held
        self.warnings = periods.warnings
        lago.close()
        ledger.close()
