"""Does a plan charge for the usage of those who go by it? Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from reconciler.delivery.billable.metric import COST, OF_INPUT, OF_OUTPUT, REQUESTS, counted
from reconciler.delivery.billable.prices import Price, charges_on, price, rates, strange_keys
from reconciler.model.money import plain
from reconciler.model.visible import brief
from reconciler.report.unbillable import Kind, Unbillable, costliest
from reconciler.report.usage import Usage, Used, together
from reconciler.settings.meter import MeterSettings

_USAGE_OF_THIS_PERIOD = "What was used in the present billing period is billed then as well."

_NAMED = 3


@dataclass(frozen=True)
class Metered:
    """A meter, and the metric that counts its usage.

    Attributes:
        meter: its settings.
        metric: as Lago shows it.
    """

    meter: MeterSettings
    metric: Mapping[str, Any]

    @property
    def code(self) -> str:
        """The metric's, in quotes."""
        return repr(self.meter.event_code)

    def unbillable(self, kind: Kind, what: str, cure: str, used: Used, *, of_models: bool = True) -> Unbillable:
        """Make one of usage."""
        whose = together((name, usage) for name, models in used.items() for usage in models.values())
        models = together(each for models in used.values() for each in models.items())
        return Unbillable(kind, self.meter.name, what, cure, whose, costliest(models) if of_models else ())


def of_plan(metered: Metered, code: str, plan: Mapping[str, Any], used: Used) -> Iterator[Unbillable]:
    """What a plan would not bill, or not in USD.

    Args:
        metered: the meter.
        code: the plan's.
        plan: as Lago shows it, with its charges.
        used: the usage of those who go by it.
    """
    named = repr(brief(code, 100)) + (" with prices of its own" if plan.get("parent_id") else "")
    charges = charges_on(plan, metered.meter.event_code)
    if not charges:
        yield metered.unbillable(
            "no charge",
            f"by the plan {named}, which has no charge on the metric {metered.code}, so that it costs nothing",
            f"Add a charge on the metric to the plan in Lago, or give these subscriptions another plan. "
            f"{_USAGE_OF_THIS_PERIOD}",
            used,
            of_models=False,
        )
        return
    by_price: dict[Price, dict[str, dict[str, Usage]]] = defaultdict(lambda: defaultdict(dict))
    for name, models in used.items():
        for model, usage in models.items():
            of_model = price(charges, metered.metric, model, has_cents=metered.meter.precise_cents)
            by_price[of_model][name][model] = usage
    for of_price, some in sorted(by_price.items()):
        if of_price is not Price.CHARGED:
            yield _unpriced(metered, named, of_price, some, strange_keys(charges))
    currency = str(plan.get("amount_currency"))
    is_dynamic = any(charge.get("charge_model") == "dynamic" for charge in charges)
    if by_price[Price.CHARGED] and currency != "USD" and (is_dynamic or counted(metered.metric) == COST):
        yield _abroad(metered, named, currency, rates(charges), by_price[Price.CHARGED])


def later(found: Iterable[Unbillable], since: str) -> Iterator[Unbillable]:
    """What a plan would not bill of those who will go by it.

    Args:
        found: what it would not bill of them now.
        since: the day from when on they do.
    """
    for one in found:
        if not one.is_on_purpose:
            what = f"of subscriptions that change their plan on {since}; such usage will then be {one.what}"
            cure = f"Nothing is lost yet. {one.cure.removesuffix(_USAGE_OF_THIS_PERIOD).strip()}"
            yield replace(one, kind="next plan", what=what, cure=cure)


def _abroad(metered: Metered, plan: str, currency: str, rates: Collection[Decimal], used: Used) -> Unbillable:
    """Usage whose cost is passed on by a plan in another currency: as it is, or perhaps at a rate of exchange."""
    shown = brief(currency, 10)
    if rates and Decimal(1) not in rates:
        billed = " or ".join(plain(rate) for rate in sorted(rates)[:_NAMED])
        return metered.unbillable(
            "exchanged",
            f"by the plan {plan}, which is in {shown}: a USD of cost is billed as {billed} {shown}",
            "If that is the rate of exchange, there is nothing to do.",
            used,
            of_models=False,
        )
    return metered.unbillable(
        "currency",
        f"by the plan {plan}, which is in {shown}: a USD of cost is billed as one {shown}",
        "Give these subscriptions a plan in USD, or let its charge multiply the cost by the rate of exchange.",
        used,
        of_models=False,
    )


def _unpriced(metered: Metered, plan: str, of_price: Price, used: Used, strange_keys: Collection[str]) -> Unbillable:
    """Usage that a charge of a plan prices at nothing."""
    if of_price is Price.NO_CENTS:
        return metered.unbillable(
            "no cents",
            f"by the plan {plan}, whose charge is dynamic, and events don't say their price",
            "Set RECONCILE_PRECISE_CENTS=true for what comes; what is sent already costs nothing and needs an invoice "
            "by hand. Or give the charge another charge model, such as standard.",
            used,
            of_models=False,
        )
    if of_price is Price.NONE and metered.meter.model_column == "none":
        return metered.unbillable(
            "no price",
            f"by the plan {plan}, whose charge has prices for models alone, and events name none",
            f"Give the charge a price of its own, or set RECONCILE_MODEL_COLUMN=model. {_USAGE_OF_THIS_PERIOD}",
            used,
            of_models=False,
        )
    if of_price is Price.NONE:
        keys = ", ".join(map(repr, strange_keys))
        lacks = f"; events have no property {keys}, which filters ask for" if keys else ""
        return metered.unbillable(
            "no price",
            f"of models that no filter of the charge in the plan {plan} matches, and its own price is 0{lacks}",
            "Add them to the filters of the metric and of the charge, spelt as they are here, or give the charge a "
            f"price of its own. {_USAGE_OF_THIS_PERIOD}",
            used,
        )
    return metered.unbillable(
        "free",
        f"that the plan {plan} prices at 0",
        "If that is meant, there is nothing to do.",
        used,
    )


def not_counted(metered: Metered, used: Used) -> Unbillable | None:
    """Usage with a cost and none of what the metric sums, such as an image without output tokens."""
    property_ = counted(metered.metric)
    if property_ in {None, COST, REQUESTS}:
        return None
    some = {
        name: none
        for name, models in used.items()
        if (none := {model: usage for model, usage in models.items() if usage.cost and not _units(usage, property_)})
    }
    if not some:
        return None
    return metered.unbillable(
        "not counted",
        f"without any {property_}, which is what the metric {metered.code} sums, of models",
        f"Bill the cost as well: a metric that sums {COST}, and a meter of its own for these models "
        "(RECONCILE_EXCLUDE leaves them out of this one).",
        some,
    )


def _units(usage: Usage, property_: str | None) -> int:
    """How much of tokens."""
    if property_ in OF_INPUT:
        return usage.input_tokens
    return usage.output_tokens if property_ in OF_OUTPUT else usage.input_tokens + usage.output_tokens
