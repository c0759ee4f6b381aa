"""What one meter bills and how: the keys that each `[meters.NAME]` table of the file may set for itself."""

from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from reconciler.model.terms import ChargeBy, Terms
from reconciler.settings import values as read
from reconciler.settings.values import Exclusion, MappingFile, MappingTable

ModelColumn = Literal["model", "model_group", "none"]
Properties = Literal["documented", "callback", "both"]
ClosedPeriod = Literal["hold", "send", "move"]
EventField = Literal["external_subscription_id", "external_customer_id"]


def _one_of(words: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: read.choice(value, get_args(words)))


class MeterKeys(BaseModel):
    """The keys that the top level of the file and each meter's table have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_code: Annotated[str, BeforeValidator(read.event_code)] = Field(
        default="", validation_alias="lago_api_event_code"
    )
    charge_by: Annotated[ChargeBy, BeforeValidator(read.charge_by)] = Field(
        default=ChargeBy.END_USER, validation_alias="lago_api_charge_by"
    )
    window: Annotated[timedelta, BeforeValidator(read.window)] = timedelta(minutes=15)
    subscription: Annotated[str, BeforeValidator(read.subscription)] = "{id}"
    mapping: Annotated[MappingFile | MappingTable | None, NoDecode, BeforeValidator(read.mapping)] = None
    model_column: Annotated[ModelColumn, _one_of(ModelColumn)] = "model"
    cache_hits: Annotated[bool, BeforeValidator(read.switch)] = True
    exclude: Annotated[tuple[Exclusion, ...], NoDecode, BeforeValidator(read.exclusions)] = ()
    properties: Annotated[Properties, _one_of(Properties)] = "documented"
    precise_cents: Annotated[bool, BeforeValidator(read.switch)] = False
    closed_period: Annotated[ClosedPeriod, _one_of(ClosedPeriod)] = "hold"
    event_field: Annotated[EventField, _one_of(EventField)] = "external_subscription_id"


class MeterSettings(MeterKeys):
    """One meter, as the settings describe it.

    Attributes:
        name: the meter's name, unique over the Lago organization.
        event_code: the code of Lago's billable metrics; empty only where Lago was not required.
        charge_by: who is billed.
        window: the length of its windows, from one minute to one day, dividing a day.
        subscription: what a customer's subscription is called, `{id}` being the customer.
        mapping: where exceptions to `subscription` are listed, if anywhere.
        model_column: the spend table's column that names the model; `none`: all models are one.
        cache_hits: whether the tokens of cache hits count.
        exclude: usage that is not billed.
        properties: whose names properties have: LiteLLM's documented ones, its callback's, or both.
        precise_cents: whether events carry `precise_total_amount_cents`.
        closed_period: what becomes of usage whose billing period Lago has closed.
        event_field: the field of the event that carries the subscription.
    """

    name: Annotated[str, BeforeValidator(read.meter_name)]

    @property
    def terms(self) -> Terms:
        """The terms that the settings ask for."""
        return Terms(
            code=self.event_code,
            charge_by=self.charge_by.value,
            window_seconds=int(self.window.total_seconds()),
            model_column=self.model_column,
            cache_hits=self.cache_hits,
            exclude=tuple(sorted(f"{kind}:{pattern}" for kind, pattern in self.exclude)),
        )
