"""Every key of the settings' top level, checked one by one and against each other."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.database.address import Database
from reconciler.model.errors import SettingsError
from reconciler.settings import values as read
from reconciler.settings.meter import MeterKeys
from reconciler.settings.misspelt import PREFIX
from reconciler.settings.sources import variables
from reconciler.settings.values import KeyFile


def _database(variable: str) -> BeforeValidator:
    def parse(value: object) -> Database:
        if isinstance(value, Database):
            return value
        try:
            return Database.from_url(str(value), variable)
        except SettingsError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(parse)


class Given(MeterKeys, BaseSettings):
    """Every key of the top level; `MeterKeys` are those of the meter that it describes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, case_sensitive=True, frozen=True, extra="forbid", validate_default=False
    )

    meter: Annotated[str, BeforeValidator(read.meter_name)] = "default"
    database_url: Annotated[Database | None, NoDecode, _database("DATABASE_URL")] = Field(
        default=None, validation_alias="database_url"
    )
    ledger_url: Annotated[Database | None, NoDecode, _database("RECONCILE_LEDGER_URL")] = None
    lago_api_base: Annotated[str, BeforeValidator(read.lago_base)] = Field(default="", validation_alias="lago_api_base")
    lago_api_key: Annotated[SecretStr | None, BeforeValidator(read.secret)] = Field(
        default=None, validation_alias="lago_api_key"
    )
    lago_api_key_file: Annotated[KeyFile | None, BeforeValidator(read.secret_file)] = Field(
        default=None, validation_alias="lago_api_key_file"
    )
    settle: Annotated[timedelta, BeforeValidator(read.duration)] = timedelta(minutes=2)
    lookback: Annotated[timedelta, BeforeValidator(read.duration)] = timedelta(hours=1)
    horizon: Annotated[timedelta, BeforeValidator(read.duration)] = timedelta(days=35)
    interval: Annotated[timedelta, BeforeValidator(read.pause)] = timedelta(seconds=60)
    statement_timeout: Annotated[timedelta, BeforeValidator(read.pause)] = timedelta(seconds=60)
    rate: Annotated[float | None, BeforeValidator(read.rate)] = None
    deadline: Annotated[timedelta, BeforeValidator(read.pause)] = timedelta(minutes=10)
    connections: Annotated[int, BeforeValidator(read.connections)] = 2
    deduplication: Annotated[bool, BeforeValidator(read.switch)] = False
    lag: Annotated[timedelta, BeforeValidator(read.duration)] = timedelta(minutes=1)
    alarm_command: Annotated[tuple[str, ...], NoDecode, BeforeValidator(read.command)] = ()
    alarm_webhook: Annotated[SecretStr | None, BeforeValidator(read.webhook)] = None
    http: Annotated[str, BeforeValidator(read.http_address)] = "127.0.0.1:9464"
    http_token: Annotated[SecretStr | None, BeforeValidator(read.secret)] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.horizon < self.lookback:
            raise ValueError("RECONCILE_HORIZON must not be shorter than RECONCILE_LOOKBACK: write such as 35d and 1h")
        if self.lago_api_key and self.lago_api_key_file:
            raise ValueError("LAGO_API_KEY and LAGO_API_KEY_FILE are both set: set one of them")
        if self.alarm_command and self.alarm_webhook:
            raise ValueError("RECONCILE_ALARM_COMMAND and RECONCILE_ALARM_WEBHOOK are both set: set one of them")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given alone: `load_settings` has put the places in order."""
        return (init_settings,)


VARIABLES = variables(Given)
"""The variable of each key."""

METER_KEYS = frozenset(variables(MeterKeys))
"""The keys of a meter."""
