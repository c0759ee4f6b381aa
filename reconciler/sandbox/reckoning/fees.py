"""Fees: what a charge comes to in a period, one fee for each of its filters and pricing groups.

A fee carries what it was reckoned with (the charge, the metric, the filter), so that what was invoiced stays
readable when those have changed or are gone. Its amount is rounded to the currency here, and nowhere else, and
is never negative.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec

from reconciler.sandbox.grammar import EXACT, property_text
from reconciler.sandbox.reckoning.aggregation import Aggregate, Sample, aggregate, ignores_start
from reconciler.sandbox.reckoning.filters import bucket
from reconciler.sandbox.reckoning.pricing import Usage, group_keys, price
from reconciler.sandbox.schedule.periods import Period
from reconciler.sandbox.stores.store import EventFilter, Store, Thing, new_id

_MILLISECOND = 1000
_UNIT_PRICES = Context(prec=30)

# How many decimals a currency has that does not have two.
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS = dict.fromkeys(_WHOLE.split(), 0) | dict.fromkeys(_THOUSANDTHS.split(), 3)

Group = tuple[tuple[str, str | None], ...]
Carried = Mapping[tuple[str | None, Group], Decimal]


class Fee(msgspec.Struct, frozen=True):
    """What is owed for one thing in one period.

    Attributes:
        lago_id: of the fee.
        subscription_id: whose it is.
        kind: `charge` or `subscription`.
        item: the charge's `lago_id`, `code`, `charge_model`, `invoice_display_name` and whether it has filters.
        metric: the metric's `lago_id`, `name`, `code` and `aggregation_type`.
        filter: the filter's `lago_id`, `invoice_display_name` and `values`; None for no filter.
        grouped_by: the pricing group: property to value.
        start: of the period, in microseconds since 1970.
        end: of the period, inclusive.
        currency: of the amounts.
        units: how much.
        total_units: for weighted sums, what they had come to at the end; otherwise the units.
        events: how many events made it up.
        amount: the exact price, in the currency's main unit.
        cents: the same, rounded, in the currency's smallest unit.
    """

    lago_id: str
    subscription_id: str
    kind: str
    item: dict[str, Any]
    metric: dict[str, Any]
    filter: dict[str, Any] | None
    grouped_by: dict[str, str | None]
    start: int
    end: int
    currency: str
    units: Decimal
    total_units: Decimal
    events: int
    amount: Decimal
    cents: int

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to bill or to tell: no units, no events, no amount."""
        return not (self.units or self.events or self.cents)

    @property
    def unit_amount(self) -> Decimal:
        """The price of a unit, 0 if there are none."""
        return _UNIT_PRICES.divide(self.amount, self.units) if self.units else Decimal(0)


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency has."""
    return _DECIMALS.get(currency, 2)


def to_cents(amount: Decimal, currency: str) -> int:
    """Round an amount in the currency's main unit to its smallest, halves away from zero."""
    return int(amount.scaleb(decimals_of(currency), EXACT).to_integral_value(ROUND_HALF_UP))


class ChargeUsage:
    """A charge's events in a period, read once, from which its fees are reckoned filter by filter."""

    def __init__(
        self,
        store: Store,
        organization: str,
        subscription: Thing,
        plan: Thing,
        charge: Thing,
        *,
        whole: Period,
        period: Period,
        only: Mapping[str, str] | None = None,
        carried: Carried | None = None,
    ) -> None:
        """Prepare to reckon.

        Args:
            store: where events and metrics are.
            organization: whose they are.
            subscription: whose events.
            plan: the plan of the charge.
            charge: one of its charges.
            whole: the whole billing period.
            period: what of it is counted.
            only: the pricing group to which a client has narrowed its question, property to value.
            carried: what recurring weighted sums had come to before the period.
        """
        self.charge = charge
        self._subscription, self._plan, self._whole, self._period = subscription, plan, whole, period
        self._metric = store.thing(charge["lago_billable_metric_id"])
        self._carried = (carried or {}) if self._metric["recurring"] else {}
        self._start = period.start // _MILLISECOND * _MILLISECOND
        self._only = only or {}
        self._store = store
        self._wanted = EventFilter(
            organization,
            subscription["external_id"],
            self._metric["code"],
            None if ignores_start(self._metric) else self._start,
            period.end,
        )
        self._loaded: list[Sample] | None = None

    @property
    def filters(self) -> list[Thing | None]:
        """The charge's filters, and None for what matches none of them."""
        return [*self.charge["filters"], None]

    def fees(self, chosen: Thing | None) -> list[Fee]:
        """Return the fees of a filter (or of none), one for each pricing group; one of 0 if there is nothing."""
        properties = chosen["properties"] if chosen else self.charge["properties"]
        keys = group_keys(properties)
        holds = bucket(self.charge, self._metric, chosen)
        groups: dict[tuple[str | None, ...], list[Sample]] = defaultdict(list)
        for sample in self._samples():
            if holds(sample.properties):
                groups[tuple(property_text(sample.properties.get(key)) for key in keys)].append(sample)
        filter_id = chosen["lago_id"] if chosen else None
        for carried_filter, group in self._carried:
            if carried_filter == filter_id and [key for key, _ in group] == keys:
                groups.setdefault(tuple(value for _, value in group), [])
        if not groups:
            groups[(None,) * len(keys)] = []
        return [
            self._fee(chosen, properties, dict(zip(keys, values, strict=True)), groups[values])
            for values in self._store.grouped(groups)
        ]

    def _samples(self) -> list[Sample]:
        if self._loaded is None:
            samples = [
                Sample(
                    event.timestamp,
                    event.created_at or 0,
                    event.decoded(),
                    Decimal(event.cents or 0),
                )
                for event in self._store.counted(self._wanted)
            ]
            samples.sort(key=lambda one: (one.timestamp, one.created_at))
            self._loaded = [one for one in samples if self._is_asked_for(one)]
        return self._loaded

    def _is_asked_for(self, sample: Sample) -> bool:
        """Compare as Postgres' `@>` does: a number is not the text that looks like it. No value is a blank one."""
        for key, wanted in self._only.items():
            value = sample.properties.get(key)
            if value != wanted if wanted.strip() else bool(property_text(value)):
                return False
        return True

    def _fee(
        self,
        chosen: Thing | None,
        properties: Mapping[str, Any],
        group: dict[str, str | None],
        samples: Sequence[Sample],
    ) -> Fee:
        filter_id = chosen["lago_id"] if chosen else None
        carried = self._carried.get((filter_id, tuple(group.items())), Decimal(0))
        counted = aggregate(
            self._metric, samples, self._store.counted_number, self._whole, start=self._start, initial=carried
        )
        amount = self._price(properties, counted)
        if counted.units < 0 or amount < 0:
            counted = counted._replace(units=Decimal(0), total=Decimal(0))
            amount = Decimal(0)
        charge, metric = self.charge, self._metric
        return Fee(
            lago_id=new_id(),
            subscription_id=self._subscription["lago_id"],
            kind="charge",
            item={name: charge[name] for name in ("lago_id", "code", "charge_model", "invoice_display_name")}
            | {"has_filters": bool(charge["filters"])},
            metric={name: metric[name] for name in ("lago_id", "name", "code", "aggregation_type")},
            filter={name: chosen[name] for name in ("lago_id", "invoice_display_name", "values")} if chosen else None,
            grouped_by={key: value if value and value.strip() else None for key, value in group.items()},
            start=self._period.start,
            end=self._period.end,
            currency=self._plan["amount_currency"],
            units=counted.units,
            total_units=counted.total,
            events=counted.events,
            amount=amount,
            cents=to_cents(amount, self._plan["amount_currency"]),
        )

    def _price(self, properties: Mapping[str, Any], counted: Aggregate) -> Decimal:
        usage = Usage(counted.units, counted.events, counted.values, counted.cents)
        return price(self.charge["charge_model"], properties, usage, decimals_of(self._plan["amount_currency"]))


def carried_over(fees: Iterable[Fee]) -> Carried:
    """Return what weighted sums had come to, by filter and pricing group, in the fees of an earlier period."""
    return {
        (fee.filter["lago_id"] if fee.filter else None, tuple(fee.grouped_by.items())): fee.total_units for fee in fees
    }
