"""The parts of Lago's API that the stand-in does not have: a 501, so that nothing seems to be missing in Lago."""

from reconciler.sandbox.call import Call, Handler
from reconciler.sandbox.refusals import unsupported

_RESOURCES = (
    "activity_logs",
    "add_ons",
    "analytics",
    "api_logs",
    "applied_coupons",
    "coupons",
    "credit_notes",
    "features",
    "gross_revenues",
    "invoice_custom_sections",
    "payment_receipts",
    "payment_requests",
    "payments",
    "taxes",
    "wallet_transactions",
    "wallets",
    "webhook_endpoints",
    "webhooks",
)
_MORE = (
    ("POST", "/events/estimate_instant_fees"),
    ("POST", "/events/batch_estimate_instant_fees"),
    ("POST", "/billing_entities"),
    ("POST", "/invoices"),
    ("POST", "/invoices/{rest:path}"),
    ("PUT", "/invoices/{rest:path}"),
    ("PUT", "/fees/{lago_id}"),
    ("DELETE", "/fees/{lago_id}"),
    *((method, "/customers/{external_id}/{rest:path}") for method in ("GET", "POST", "PUT", "DELETE")),
    *((method, "/subscriptions/{external_id}/{rest:path}") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
    *((method, "/plans/{code}/{rest:path}") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
)


def not_here(_call: Call) -> None:
    """Answer a request for what Lago has and the stand-in has not."""
    raise unsupported("this part of Lago's API")


ROUTES: list[tuple[str, str, Handler]] = [
    *((method, path, not_here) for method, path in _MORE),
    *(
        (method, f"/{resource}{rest}", not_here)
        for resource in _RESOURCES
        for rest in ("", "/{rest:path}")
        for method in ("GET", "POST", "PUT", "DELETE")
    ),
]
