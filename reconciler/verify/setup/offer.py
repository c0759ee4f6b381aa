"""What the operator wants Lago to have: metrics that count a property of our events, and a plan with prices. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from reconciler.delivery.billable.metric import CALLBACK, COST, measures
from reconciler.model.errors import UsageError
from reconciler.model.money import plain
from reconciler.settings.meter import MeterSettings

MILLION = Decimal(1_000_000)

PLAN = "llm"
"""The code of the plan, unless another is asked for."""

_DIGITS = 20


@dataclass(frozen=True)
class Counted:
    """What the metric of one event code is to count.

    Attributes:
        meter: the meter's name.
        code: its event code, and the metric's.
        field: the property that is asked for; None leaves it to the metric that is there, or else takes the cost.
        fields: the numeric properties that its events have.
        by_model: whether its usage is priced model by model, each a line of the invoice.
        price: USD for a million tokens; None if none is asked for.
    """

    meter: str
    code: str
    field: str | None
    fields: tuple[str, ...]
    by_model: bool
    price: Decimal | None

    def amount(self, field: str, markup: Decimal | None) -> Decimal | None:
        """What one unit of a property costs, in USD; None if nobody has said it."""
        if field == COST:
            return (100 + (markup or 0)) * Decimal("0.01")
        return None if self.price is None else self.price / MILLION


@dataclass(frozen=True)
class Offer:
    """All of it.

    Attributes:
        plan: the plan's code.
        counted: one for each event code.
        markup: percent on top of the cost; None if none is asked for.
    """

    plan: str
    counted: tuple[Counted, ...]
    markup: Decimal | None

    def metric(self, one: Counted) -> dict[str, Any]:
        """A metric as Lago takes it."""
        field = one.field or COST
        unit = "USD" if field == COST else field.replace("_", " ")
        name = f"LLM usage, {unit}"
        return {"name": name, "code": one.code, "aggregation_type": "sum_agg", "field_name": field}

    def plan_thing(self, charges: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The plan as Lago takes it."""
        return {
            "name": "LLM usage",
            "code": self.plan,
            "interval": "monthly",
            "amount_cents": 0,
            "amount_currency": "USD",
            "pay_in_advance": False,
            "charges": list(charges),
        }

    def charge(self, one: Counted, field: str, lago_id: str) -> dict[str, Any]:
        """A charge on a metric, which Lago knows by its own id.

        Raises:
            UsageError: it counts tokens, and nobody has said what they cost.
        """
        amount = one.amount(field, self.markup)
        if amount is None:
            raise UsageError(
                f"The metric {one.code!r} counts {field}, and nobody has said what they cost: add --price with the USD "
                "for a million tokens, such as --price 2.50."
            )
        groups = {"pricing_group_keys": ["model"]} if one.by_model else {}
        properties = {"amount": plain(amount), **groups}
        return {"billable_metric_id": lago_id, "charge_model": "standard", "properties": properties}


def offer(
    meters: Sequence[MeterSettings],
    *,
    plan: str = PLAN,
    sums: Sequence[str] = (),
    prices: Sequence[str] = (),
    markup: str | None = None,
    by_model: bool = True,
) -> Offer:
    """Read what the command line asks for.

    Args:
        meters: those of the settings.
        plan: the plan's code.
        sums: `PROPERTY` or `METER=PROPERTY`: what a meter's metric counts.
        prices: `USD` or `METER=USD`: for a million tokens.
        markup: percent on top of the cost.
        by_model: whether each model is priced by itself, where events tell models apart.

    Raises:
        UsageError: a number is none, a meter is unknown, or its events have no such property.
    """
    if not plan.strip() or not plan.isprintable():
        raise UsageError("--plan must be the code of a plan in Lago, such as llm.")
    fields = _by_meter("--sum", sums, meters)
    costs = {name: _number("--price", text, least=0) for name, text in _by_meter("--price", prices, meters).items()}
    counted: dict[str, Counted] = {}
    for meter in meters:
        one = Counted(
            meter=meter.name,
            code=meter.event_code,
            field=fields.get(meter.name, fields.get("")),
            fields=measures(meter),
            by_model=by_model and meter.model_column != "none",
            price=costs.get(meter.name, costs.get("")),
        )
        if one.field is not None and one.field not in one.fields:
            raise UsageError(
                f"Events of meter {meter.name!r} have no number {one.field!r}: write --sum with one of "
                f"{', '.join(one.fields)}. RECONCILE_PROPERTIES=both adds {', '.join(CALLBACK)}."
            )
        before = counted.setdefault(meter.event_code, one)
        if before.field != one.field:
            raise UsageError(
                f"The meters {before.meter!r} and {one.meter!r} have one event code, {one.code!r}, and a metric counts "
                "one property: give them two codes, or one --sum."
            )
    percent = None if markup is None else _number("--markup", markup, least=-100)
    return Offer(plan.strip(), tuple(counted.values()), percent)


def _by_meter(option: str, texts: Sequence[str], meters: Sequence[MeterSettings]) -> dict[str, str]:
    """What is said of each meter by its name, and of all others under an empty name."""
    said: dict[str, str] = {}
    for text in texts:
        name, has_name, value = text.rpartition("=")
        if has_name and name not in {meter.name for meter in meters}:
            names = ", ".join(meter.name for meter in meters)
            raise UsageError(f"{option} {text}: there is no meter {name!r}; the settings have {names}.")
        if said.setdefault(name, value.strip()) != value.strip():
            raise UsageError(f"{option} says two things of one meter: keep one of them.")
    return said


def _number(option: str, text: str, *, least: int) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    sound = number.is_finite() and number >= least and -_DIGITS < number.adjusted() < _DIGITS // 2
    if not (sound and len(number.as_tuple().digits) <= _DIGITS):
        raise UsageError(f"{option} {text} is not a number from {least} on: write it such as {option} 2.50.")
    return number
