"""What metrics, plans, customers and subscriptions share: being found by a key, and being checked and saved."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import parse_iso, scalar_text
from reconciler.sandbox.refusals import RefusalError, forbidden, invalid, not_found, unsupported
from reconciler.sandbox.stores.store import Thing

METRIC = "billable_metric"
PLAN = "plan"
CUSTOMER = "customer"
SUBSCRIPTION = "subscription"
INVOICE = "invoice"

Errors = dict[str, list[str]]


def find(call: Call, kind: str, key: str) -> Thing:
    """Return the metric or plan of that code, the customer of that external id.

    Raises:
        RefusalError: 404, there is none.
    """
    things = call.store.things(call.organization, kind, key)
    if not things:
        raise not_found(kind)
    return things[0]


def save(call: Call, kind: str, key: str, thing: Thing) -> Thing:
    """Keep a new or changed thing, to be found by its key."""
    with call.store.transaction():
        call.store.save(call.organization, kind, key, thing)
    return thing


def is_blank(value: Any) -> bool:
    """Whether Rails calls a JSON value blank: null, false, and what has nothing in it but white space."""
    return value is None or value is False or value in ([], {}) or (isinstance(value, str) and not value.strip())


def mandatory(params: Mapping[str, Any], *names: str) -> Errors:
    """Return what Lago says of each of the names that is missing or blank; a false is there."""
    missing = (name for name in names if params.get(name) is not False and is_blank(params.get(name)))
    return {name: ["value_is_mandatory"] for name in missing}


def check_code(call: Call, kind: str, params: Mapping[str, Any], errors: Errors, *, mine: str | None = None) -> None:
    """Note a code that another thing of the kind has; then refuse whatever has been noted.

    Raises:
        RefusalError: 422, there are errors.
    """
    others = [one for one in call.store.things(call.organization, kind, params["code"]) if one["lago_id"] != mine]
    if "code" not in errors and others:
        errors["code"] = ["value_already_exist"]
    refuse(errors)


def refuse(errors: Errors) -> None:
    """Raise the 422 of these errors, if there are any."""
    if errors:
        raise invalid(errors)


def refuse_unsupported(params: Mapping[str, Any], *names: str) -> None:
    """Raise a 501 if any of these parameters asks for what the stand-in does not do."""
    if asked := [name for name in names if params.get(name)]:
        raise unsupported(", ".join(asked))


def check_timezone(params: Mapping[str, Any]) -> None:
    """Refuse a `timezone` that is not one of IANA's names.

    Raises:
        RefusalError: 422 `invalid_timezone`.
    """
    name = params.get("timezone")
    if name is None:
        return
    try:
        ZoneInfo(name)
    except (TypeError, ValueError, ZoneInfoNotFoundError):
        raise invalid({"timezone": ["invalid_timezone"]}) from None


def premium(code: str = "feature_unavailable") -> RefusalError:
    """Return the 403 of a feature that needs Lago's licence."""
    return forbidden(code)


def text(params: Mapping[str, Any], name: str) -> str | None:
    """Return a parameter as a string column takes it; Rails drops an object or an array as not permitted."""
    value = params.get(name)
    return None if value is None or isinstance(value, dict | list) else scalar_text(value)


def moment(params: Mapping[str, Any], name: str) -> int | None:
    """Read an ISO 8601 date or time, in microseconds since 1970; None if it is not given.

    Raises:
        RefusalError: 422, it is something else.
    """
    if not params.get(name):
        return None
    try:
        return parse_iso(params[name])
    except (TypeError, ValueError):
        raise invalid({name: ["invalid_date"]}) from None
