"""What Lago has, and so what is to be made and what does not fit. Pure: nothing that is there is ever changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from reconciler.delivery.billable.metric import COST, metric_fault
from reconciler.model.money import plain
from reconciler.verify.setup.offer import Counted, Offer

Thing = Mapping[str, Any]

UNCHANGED = "Setup changes nothing that is there"


@dataclass(frozen=True)
class Call:
    """A thing that is to be made, by one request.

    Attributes:
        kind: Lago's word for it.
        name: its code or external id.
        thing: its fields; a charge's metric that is yet to be made stands there as a placeholder.
    """

    kind: str
    name: str
    thing: Thing

    @property
    def path(self) -> str:
        """Where it is posted."""
        return f"/api/v1/{self.kind}s"

    def as_json(self) -> dict[str, Any]:
        """The request in plain values, without the key."""
        return {"method": "POST", "path": self.path, "body": {self.kind: self.thing}}

    def filled(self, made: Mapping[str, str]) -> dict[str, Any]:
        """Its fields, with the ids of metrics that have been made meanwhile, by code."""
        ids = {placeholder(code): lago_id for code, lago_id in made.items()}
        charges = [
            {**charge, "billable_metric_id": ids.get(charge["billable_metric_id"], charge["billable_metric_id"])}
            for charge in self.thing.get("charges", ())
        ]
        return {**self.thing, **({"charges": charges} if charges else {})}


@dataclass
class Todo:
    """What was found, and what is to be made.

    Attributes:
        there: what is there and fits, a phrase each.
        calls: what is to be made, in order.
        unfit: what is there and does not fit, with what to do; a sentence each.
    """

    there: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)


def placeholder(code: str) -> str:
    """What stands for the id of a metric that is yet to be made."""
    return f"<lago_id of {code}>"


def see_metric(offer: Offer, one: Counted, found: Thing | None, todo: Todo) -> str | None:
    """See whether a metric is to be made; return the property that it counts, None if it does not fit."""
    if found is None:
        todo.calls.append(Call("billable_metric", one.code, offer.metric(one)))
        return one.field or COST
    counts = found.get("field_name")
    fits = {one.field} if one.field else set(one.fields)
    if fault := metric_fault(found, fits, one.fields):
        todo.unfit.append(
            f"The metric {one.code!r} {fault}. {UNCHANGED}: mend it in Lago, or give the meter {one.meter!r} another "
            "LAGO_API_EVENT_CODE."
        )
        return None
    todo.there.append(f"metric {one.code}, the sum of {counts}")
    return str(counts)


def see_plan(offer: Offer, counted: Mapping[str, str], ids: Mapping[str, str], found: Thing | None, todo: Todo) -> bool:
    """See whether the plan is to be made; return whether customers can be subscribed to it.

    Args:
        offer: what is wanted.
        counted: the property that each code's metric counts.
        ids: Lago's id of each metric that is there, by code.
        found: the plan of that code, if there is one.
        todo: where it is noted.

    Raises:
        UsageError: a price is lacking.
    """
    if found is None:
        charges = [
            offer.charge(one, counted[one.code], ids.get(one.code, placeholder(one.code))) for one in offer.counted
        ]
        todo.calls.append(Call("plan", offer.plan, offer.plan_thing(charges)))
        return True
    faults = [*plan_faults(offer, found), *_other_prices(offer, counted, found)]
    for fault in faults:
        todo.unfit.append(
            f"The plan {offer.plan!r} {fault}. {UNCHANGED}: mend it in Lago, or name another plan with --plan."
        )
    if not faults:
        todo.there.append(f"plan {offer.plan} with a charge on {', '.join(counted)}, in USD")
    return not faults


def plan_faults(offer: Offer, found: Thing) -> list[str]:
    """Why a plan would not bill our usage in USD, a phrase each."""
    currency = found.get("amount_currency")
    faults = [] if currency == "USD" else [f"is in {currency}, and usage is in USD"]
    charged = {charge.get("billable_metric_code") for charge in _charges(found)}
    return faults + [
        f"has no charge on the metric {one.code!r}, so its usage would cost nothing"
        for one in offer.counted
        if one.code not in charged
    ]


def _other_prices(offer: Offer, counted: Mapping[str, str], found: Thing) -> list[str]:
    """Where a price was asked for and another is there."""
    faults = []
    for one in offer.counted:
        counts = counted.get(one.code)
        asked = one.amount(counts, offer.markup) if counts else None
        if asked is None or (counts == COST and offer.markup is None):
            continue
        amounts = [_amount(charge) for charge in _charges(found) if charge.get("billable_metric_code") == one.code]
        if amounts and asked not in amounts:
            faults.append(f"does not charge {plain(asked)} for a unit of {one.code!r}, as was asked for")
    return faults


def _charges(plan: Thing) -> list[Thing]:
    charges = plan.get("charges")
    return [each for each in charges if isinstance(each, dict)] if isinstance(charges, list) else []


def _amount(charge: Thing) -> Decimal | None:
    properties = charge.get("properties")
    if charge.get("charge_model") != "standard" or not isinstance(properties, dict):
        return None
    try:
        return Decimal(str(properties.get("amount")))
    except InvalidOperation:
        return None
