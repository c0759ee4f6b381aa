"""The links that Lago makes for a customer: to the portal of its front, and to the checkout of a payment provider.

Facts: `getlago/lago-api`, `app/services/customer_portal/generate_url_service.rb`, which asks for no licence, and
`app/services/customers/generate_checkout_url_service.rb`.
"""

import hmac
from base64 import b64encode
from typing import Any

import msgspec

from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import SECOND, format_instant
from reconciler.sandbox.refusals import invalid
from reconciler.sandbox.resources.catalog import CUSTOMER, find

_FRONT = "http://localhost"
"""Where Lago's front is unless its operator says otherwise (`LAGO_FRONT_URL`); the stand-in has none."""
_LIFE = 12 * 3600 * SECOND
_SECRET = b"sandbox"


def portal_url(call: Call) -> dict[str, Any]:
    """GET /customers/:external_id/portal_url: signed, and good for half a day."""
    customer = find(call, CUSTOMER, call.path["external_id"])
    expires_at = format_instant(call.lago.now() + _LIFE, milliseconds=True)
    message = b64encode(msgspec.json.encode({"_rails": {"data": customer["lago_id"], "exp": expires_at}}))
    signature = hmac.digest(_SECRET, message, "sha1").hex()
    return {CUSTOMER: {"portal_url": f"{_FRONT}/customer-portal/{message.decode()}--{signature}"}}


def checkout_url(call: Call) -> None:
    """POST /customers/:external_id/checkout_url: no customer has a payment provider."""
    find(call, CUSTOMER, call.path["external_id"])
    raise invalid({"base": ["no_linked_payment_provider"]})
