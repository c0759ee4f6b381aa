"""The organization behind an API key: what its billing entity, and so its customers, have unless they say otherwise."""

from typing import Any

from reconciler.sandbox.call import Call
from reconciler.sandbox.refusals import invalid
from reconciler.sandbox.resources.catalog import check_timezone, refuse_unsupported
from reconciler.sandbox.stores.store import Store, Thing

ORGANIZATION = "organization"

TEXTS = (
    "country",
    "address_line1",
    "address_line2",
    "state",
    "zipcode",
    "email",
    "city",
    "legal_name",
    "legal_number",
    "tax_identification_number",
    "document_numbering",
    "document_number_prefix",
)
_SETTINGS: Thing = {"timezone": "UTC", "net_payment_term": 0, "default_currency": "USD", "grace_period": 0}
_DEFAULTS: Thing = {"name": "Sandbox", "created_at": "2024-01-01T00:00:00Z", **_SETTINGS}


def show_organization(call: Call) -> dict[str, Any]:
    """GET /organizations: with its id, its event store, and what its customers have unless they say otherwise."""
    return {ORGANIZATION: _render(call, organization_of(call.store, call.organization))}


def update_organization(call: Call) -> dict[str, Any]:
    """PUT /organizations: among others the time zone and the days of grace before invoices are final."""
    params = call.root(ORGANIZATION)
    refuse_unsupported(params, "webhook_url", "webhook_urls", "finalize_zero_amount_invoice")
    check_timezone(params)
    known = organization_of(call.store, call.organization)
    changed = {name: params[name] for name in (*TEXTS, *_SETTINGS) if params.get(name) is not None}
    organization = known | changed
    if "billing_configuration" in params:
        organization["grace_period"] = grace_period(params["billing_configuration"]) or 0
    with call.store.transaction():
        call.store.save(call.organization, ORGANIZATION, ORGANIZATION, organization)
    call.lago.agenda.all_changed()
    return {ORGANIZATION: _render(call, organization)}


def organization_of(store: Store, organization: str) -> Thing:
    """Return an organization's settings."""
    known = store.things(organization, ORGANIZATION)
    return {**_DEFAULTS, **(known[0] if known else {}), "lago_id": organization}


def grace_period(configuration: Any) -> int | None:
    """Return the days of grace in a `billing_configuration`, None if it names none.

    Raises:
        RefusalError: 422, they are no whole number of days.
    """
    days = configuration.get("invoice_grace_period") if isinstance(configuration, dict) else None
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or days < 0:
        raise invalid({"invoice_grace_period": ["value_is_out_of_range"]})
    return days


def _render(call: Call, organization: Thing) -> dict[str, Any]:
    return {
        "lago_id": organization["lago_id"],
        "name": organization["name"],
        "created_at": organization["created_at"],
        "events_store": call.store.name,
        "webhook_url": None,
        "webhook_urls": [],
        **{name: organization.get(name) for name in TEXTS},
        "default_currency": organization["default_currency"],
        "timezone": organization["timezone"],
        "net_payment_term": organization["net_payment_term"],
        "email_settings": [],
        "finalize_zero_amount_invoice": True,
        "billing_configuration": {
            "invoice_footer": None,
            "invoice_grace_period": organization["grace_period"],
            "document_locale": "en",
        },
        "taxes": [],
    }
