"""The lifetime usage of a subscription, through all its changes of plan, as a Lago without a licence has it.

What was used before Lago is what the client says. The amounts that Lago itself would add are reckoned only where
a licence has turned that on: without one they stay 0, whatever is used and billed.

Facts: `getlago/lago-api`, `app/controllers/api/v1/subscriptions/lifetime_usages_controller.rb`,
`app/services/lifetime_usages/update_service.rb`, `app/models/subscription.rb` (`mark_as_active!`),
`app/jobs/clock/refresh_lifetime_usages_job.rb` and
`app/services/usage_monitoring/track_subscription_activity_service.rb`, which do nothing without a licence.
"""

from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import UnstorableError, format_instant, is_float, parse_numeric
from reconciler.sandbox.refusals import invalid, not_found
from reconciler.sandbox.resources.catalog import SUBSCRIPTION, save
from reconciler.sandbox.stores.store import Thing

_LIFETIME_USAGE = "lifetime_usage"
_HISTORICAL = "external_historical_usage_amount_cents"
_BIGINT = 2**63
_DECIMALS = 5
"""Enough to tell a fraction, which is cut, from a whole number of cents."""


class _Lifetime(NamedTuple):
    """A lifetime usage: whose it is now, and its own id."""

    subscription: Thing
    lago_id: str


def show_lifetime_usage(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/lifetime_usage."""
    return _render(call, _find(call))


def update_lifetime_usage(call: Call) -> dict[str, Any]:
    """PUT /subscriptions/:external_id/lifetime_usage: what was used before Lago.

    Raises:
        RefusalError: 404, no such subscription, before all else; 422, it is no number, or below 0.
        UnstorableError: the column can't hold it.
    """
    lifetime = _find(call)
    sent = call.root(_LIFETIME_USAGE).get(_HISTORICAL)
    if sent is None or not is_float(sent):
        raise invalid({"historical_usage_amount_cents": ["is not a number"]})
    amount = parse_numeric(sent, _DECIMALS)
    if amount < 0:
        raise invalid({"historical_usage_amount_cents": ["value_is_out_of_range"]})
    if amount >= _BIGINT:
        raise UnstorableError(str(sent))
    save(call, _LIFETIME_USAGE, lifetime.lago_id, {"lago_id": lifetime.lago_id, _HISTORICAL: int(amount)})
    return _render(call, lifetime)


def _find(call: Call) -> _Lifetime:
    """Return the lifetime usage of an external id: of the last subscription that has begun."""
    known = call.store.things(call.organization, SUBSCRIPTION, call.path["external_id"])
    for subscription in known:
        if subscription["started_at"] is not None:
            first = subscription
            while first["previous_id"]:
                first = call.store.thing(first["previous_id"])
            return _Lifetime(subscription, str(uuid5(NAMESPACE_URL, f"lago-lifetime-usage:{first['lago_id']}")))
    raise not_found(_LIFETIME_USAGE if known else SUBSCRIPTION)


def _render(call: Call, lifetime: _Lifetime) -> dict[str, Any]:
    known = call.store.things(call.organization, _LIFETIME_USAGE, lifetime.lago_id)
    usage = {
        "lago_id": lifetime.lago_id,
        "lago_subscription_id": lifetime.subscription["lago_id"],
        "external_subscription_id": lifetime.subscription["external_id"],
        _HISTORICAL: known[0][_HISTORICAL] if known else 0,
        "invoiced_usage_amount_cents": 0,
        "current_usage_amount_cents": 0,
        "from_datetime": format_instant(lifetime.subscription["subscription_at"]),
        "to_datetime": format_instant(call.lago.now()),
    }
    return {_LIFETIME_USAGE: usage}
