"""Lago's side of the demo: a metric, a plan and subscriptions, made through Lago's own API, and its count."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

CODE = "llm_usage"
PLAN = "pay_as_you_go"


class Billing:
    """One Lago organization, as its owner sets it up and asks it what it counted."""

    def __init__(self, base: str, key: str) -> None:
        """Connect to nothing yet; the arguments are what LAGO_API_BASE and LAGO_API_KEY say."""
        self._client = httpx.Client(
            base_url=f"{base}/api/v1/", headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def set_up(self, customers: Iterable[str], since: datetime) -> None:
        """Make the metric, the plan, and one subscription a customer that begins at `since`.

        An event counts for the one metric that has its code. This one sums the cost, so that a unit is a dollar.
        """
        metric = {"name": "LLM usage, USD", "code": CODE, "aggregation_type": "sum_agg", "field_name": "response_cost"}
        made = self._post("billable_metrics", {"billable_metric": metric})
        charge = {
            "billable_metric_id": made["billable_metric"]["lago_id"],
            "charge_model": "standard",
            "properties": {"amount": "1", "pricing_group_keys": ["model"]},
        }
        plan = {
            "name": "Pay as you go",
            "code": PLAN,
            "interval": "monthly",
            "amount_cents": 0,
            "amount_currency": "USD",
            "pay_in_advance": False,
            "charges": [charge],
        }
        self._post("plans", {"plan": plan})
        for customer in customers:
            self._post("customers", {"customer": {"external_id": customer, "currency": "USD"}})
            subscription = {
                "external_customer_id": customer,
                "plan_code": PLAN,
                "external_id": customer,
                "subscription_at": since.isoformat(),
            }
            self._post("subscriptions", {"subscription": subscription})

    def current_usage(self, customer: str) -> Decimal:
        """The units, here USD, that Lago counted for a customer in the billing period of now."""
        path = f"customers/{quote(customer, safe='')}/current_usage"
        answer = self._client.get(path, params={"external_subscription_id": customer})
        answer.raise_for_status()
        return Decimal(answer.json()["customer_usage"]["charges_usage"][0]["units"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.post(path, json=body)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made
