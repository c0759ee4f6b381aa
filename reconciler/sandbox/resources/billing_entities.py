"""The billing entity that issues an organization's invoices: what customers have who say nothing themselves.

An organization may have several in Lago; here it has its first one, which has the organization's settings until
it is given its own.
"""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import format_instant
from reconciler.sandbox.refusals import not_found
from reconciler.sandbox.resources.catalog import check_timezone, refuse_unsupported, save
from reconciler.sandbox.resources.organizations import TEXTS, grace_period, organization_of
from reconciler.sandbox.stores.store import Store, Thing

BILLING_ENTITY = "billing_entity"
DEFAULT_CODE = "default"

_SETTINGS = ("timezone", "net_payment_term", "default_currency")
_NOT_HERE = ("einvoicing", "logo", "eu_tax_management", "tax_codes", "invoice_custom_section_codes", "email_settings")


def list_billing_entities(call: Call) -> dict[str, Any]:
    """GET /billing_entities: all of them, without pages."""
    return {"billing_entities": [_render(entity_of(call.store, call.organization))]}


def show_billing_entity(call: Call) -> dict[str, Any]:
    """GET /billing_entities/:code."""
    return {BILLING_ENTITY: _render(_find(call)) | {"taxes": [], "selected_invoice_custom_sections": []}}


def update_billing_entity(call: Call) -> dict[str, Any]:
    """PUT /billing_entities/:code: among others the time zone and the days of grace before invoices are final."""
    params = call.root(BILLING_ENTITY)
    entity = _find(call)
    refuse_unsupported(params, *_NOT_HERE)
    check_timezone(params)
    given = {name: params[name] for name in ("name", *TEXTS, *_SETTINGS) if params.get(name) is not None}
    if (days := grace_period(params.get("billing_configuration"))) is not None:
        given["grace_period"] = days
    own = {**entity["own"], **given, "updated_at": format_instant(call.lago.now())}
    save(call, BILLING_ENTITY, DEFAULT_CODE, {"lago_id": entity["lago_id"], "own": own})
    call.lago.agenda.all_changed()
    return show_billing_entity(call)


def entity_of(store: Store, organization: str) -> Thing:
    """Return an organization's billing entity with its settings, its own under `own`."""
    known = store.things(organization, BILLING_ENTITY)
    own = known[0]["own"] if known else {}
    lago_id = str(uuid5(NAMESPACE_URL, f"lago-billing-entity:{organization}"))
    return {**organization_of(store, organization), **own, "lago_id": lago_id, "own": own}


def _find(call: Call) -> Thing:
    if call.path["code"] != DEFAULT_CODE:
        raise not_found(BILLING_ENTITY)
    return entity_of(call.store, call.organization)


def _render(entity: Thing) -> dict[str, Any]:
    return {
        "lago_id": entity["lago_id"],
        "code": DEFAULT_CODE,
        "name": entity["name"],
        "default_currency": entity["default_currency"],
        "created_at": entity["created_at"],
        "updated_at": entity.get("updated_at", entity["created_at"]),
        **{name: entity.get(name) for name in TEXTS},
        "einvoicing": False,
        "timezone": entity["timezone"],
        "net_payment_term": entity["net_payment_term"],
        "email_settings": [],
        "finalize_zero_amount_invoice": True,
        "invoice_footer": None,
        "invoice_grace_period": entity["grace_period"],
        "document_locale": "en",
        "is_default": True,
        "eu_tax_management": False,
        "logo_url": None,
    }
