"""Customers: who is billed, in which currency, in which time zone, and with how many days of grace."""

from typing import Any
from zoneinfo import ZoneInfo

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.grammar import format_instant
from reconciler.sandbox.refusals import invalid
from reconciler.sandbox.resources.billing_entities import DEFAULT_CODE, entity_of
from reconciler.sandbox.resources.catalog import (
    CUSTOMER,
    SUBSCRIPTION,
    check_timezone,
    find,
    mandatory,
    refuse,
    refuse_unsupported,
    save,
    text,
)
from reconciler.sandbox.resources.organizations import grace_period
from reconciler.sandbox.stores.store import Store, Thing, new_id

_TEXTS = (
    "name",
    "firstname",
    "lastname",
    "customer_type",
    "country",
    "address_line1",
    "address_line2",
    "state",
    "zipcode",
    "city",
    "shipping_address",
    "email",
    "url",
    "phone",
    "logo_url",
    "legal_name",
    "legal_number",
    "currency",
    "tax_identification_number",
    "timezone",
    "net_payment_term",
)
_NOT_HERE = (
    "tax_codes",
    "integration_customers",
    "finalize_zero_amount_invoice",
    "invoice_custom_section_codes",
    "billing_entity_code",
)


def upsert_customer(call: Call) -> dict[str, Any]:
    """POST /customers: create the customer of that external id, or change the fields given."""
    params = call.root(CUSTOMER)
    params["external_id"] = text(params, "external_id")
    refuse(mandatory(params, "external_id"))
    refuse_unsupported(params, *_NOT_HERE)
    return {CUSTOMER: render_customer(call.store, call.organization, upsert(call, params))}


def list_customers(call: Call) -> dict[str, Any]:
    """GET /customers."""
    known = call.store.things(call.organization, CUSTOMER)
    return paged(call, "customers", known, lambda one: render_customer(call.store, call.organization, one))


def show_customer(call: Call) -> dict[str, Any]:
    """GET /customers/:external_id."""
    customer = find(call, CUSTOMER, call.path["external_id"])
    return {CUSTOMER: render_customer(call.store, call.organization, customer)}


def upsert(call: Call, params: dict[str, Any]) -> Thing:
    """Create or change a customer and return it as stored.

    Raises:
        RefusalError: 422, an unknown time zone, or another currency than that of its subscriptions.
    """
    check_timezone(params)
    external_id = params["external_id"]
    known = call.store.things(call.organization, CUSTOMER, external_id)
    customer = known[0] if known else _new_customer(call, external_id)
    currency = params.get("currency")
    if known and currency and customer["currency"] not in {None, currency} and _is_subscribed(call, customer):
        raise invalid({"currency": ["currencies_does_not_match"]})
    before = customer["timezone"], customer["grace_period"]
    customer |= {name: params[name] for name in _TEXTS if name in params}
    if (grace := grace_period(params.get("billing_configuration"))) is not None:
        customer["grace_period"] = grace
    if "metadata" in params:
        customer["metadata"] = [_metadata(one) for one in params["metadata"] or []]
    customer["updated_at"] = format_instant(call.lago.now())
    if (customer["timezone"], customer["grace_period"]) != before:
        call.lago.agenda.all_changed()
    return save(call, CUSTOMER, external_id, customer)


def zone_of(store: Store, organization: str, customer: Thing) -> ZoneInfo:
    """Return the time zone in which a customer's days begin."""
    return ZoneInfo(customer["timezone"] or entity_of(store, organization)["timezone"])


def grace_of(store: Store, organization: str, customer: Thing) -> int:
    """Return how many days a customer's invoices stay drafts."""
    mine: int | None = customer["grace_period"]
    days: int = entity_of(store, organization)["grace_period"] if mine is None else mine
    return days


def net_payment_term_of(store: Store, organization: str, customer: Thing) -> int:
    """Return how many days after its issue an invoice is due."""
    mine: int | None = customer["net_payment_term"]
    days: int = entity_of(store, organization)["net_payment_term"] if mine is None else mine
    return days


def render_customer(store: Store, organization: str, customer: Thing) -> dict[str, Any]:
    """Return a customer as Lago serializes it."""
    return {
        "lago_id": customer["lago_id"],
        "external_id": customer["external_id"],
        "account_type": "customer",
        "sequential_id": customer["sequential_id"],
        "slug": f"{slug_prefix(organization)}-{customer['sequential_id']:03d}",
        "created_at": customer["created_at"],
        "updated_at": customer["updated_at"],
        **{name: customer[name] for name in _TEXTS},
        "applicable_timezone": str(zone_of(store, organization, customer)),
        "finalize_zero_amount_invoice": "inherit",
        "billing_entity_code": DEFAULT_CODE,
        "billing_configuration": {
            "invoice_grace_period": customer["grace_period"],
            "payment_provider": None,
            "payment_provider_code": None,
            "document_locale": None,
        },
        "metadata": customer["metadata"],
        "taxes": [],
        "integration_customers": [],
    }


def slug_prefix(organization: str) -> str:
    """Return what the numbers of an organization's customers and invoices begin with."""
    return f"SAN-{organization[-4:].upper()}"


def _new_customer(call: Call, external_id: str) -> Thing:
    return {
        "lago_id": new_id(),
        "external_id": external_id,
        "sequential_id": call.store.count_things(call.organization, CUSTOMER) + 1,
        "created_at": format_instant(call.lago.now()),
        **dict.fromkeys(_TEXTS),
        "grace_period": None,
        "metadata": [],
    }


def _is_subscribed(call: Call, customer: Thing) -> bool:
    return any(
        one["lago_customer_id"] == customer["lago_id"] for one in call.store.things(call.organization, SUBSCRIPTION)
    )


def _metadata(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "lago_id": params.get("id") or new_id(),
        "key": params.get("key"),
        "value": params.get("value"),
        "display_in_invoice": bool(params.get("display_in_invoice")),
    }
