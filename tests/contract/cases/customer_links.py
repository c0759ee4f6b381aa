"""The links that Lago makes for a customer."""

from tests.contract.case import Ask, Case, Like
from tests.contract.cases.common import error, get, invalid
from tests.contract.cases.provisioning import customer

_PORTAL = Like(
    "a link to Lago's portal", lambda value: isinstance(value, str) and "/customer-portal/" in value and "--" in value
)
_NOT_FOUND = error(404, "Not Found", "customer_not_found")

CASES = [
    Case(
        "a customer has a link to the portal",
        get("customers/$run/portal_url"),
        200,
        {"customer": {"portal_url": _PORTAL}},
        before=[customer()],
        source="api app/services/customer_portal/generate_url_service.rb",
    ),
    Case(
        "an unknown customer has no link to the portal",
        get("customers/$run/portal_url"),
        404,
        _NOT_FOUND,
        source="api app/services/customer_portal/generate_url_service.rb",
    ),
    Case(
        "a customer without a payment provider has no checkout",
        Ask("POST", "customers/$run/checkout_url"),
        422,
        invalid({"base": ["no_linked_payment_provider"]}),
        before=[customer()],
        source="api app/services/customers/generate_checkout_url_service.rb",
    ),
    Case(
        "an unknown customer has no checkout",
        Ask("POST", "customers/$run/checkout_url"),
        404,
        _NOT_FOUND,
        source="api app/services/customers/generate_checkout_url_service.rb",
    ),
]
