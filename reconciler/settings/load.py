"""The settings: flag over environment over TOML file over default, every fault told in a sentence.

Names are those of the design: LiteLLM's own (`DATABASE_URL`, `LAGO_API_KEY`, …) and ours behind `RECONCILE_`.
The file holds them in lower case without that prefix, and more meters in `[meters.NAME]` tables.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.database import address as database_url
from reconciler.database.address import Database
from reconciler.model.durations import format_duration
from reconciler.model.errors import SettingsError, UsageError
from reconciler.model.terms import ChargeBy
from reconciler.model.windows import keep_to_midnights
from reconciler.settings import proxy
from reconciler.settings import values as read
from reconciler.settings.limits import Limits
from reconciler.settings.meter import MeterKeys, MeterSettings
from reconciler.settings.misspelt import PREFIX, advice, misspelt_variables
from reconciler.settings.sources import CONFIG, Environment, read_file, sentences, sound, variables
from reconciler.settings.values import Exclusion, KeyFile, MappingFile, MappingTable

__all__ = [
    "ChargeBy", "Database", "Exclusion", "MappingFile", "MappingTable", "MeterSettings", "Settings",
    "load_settings",
]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Everything the reconciler was told.

    Attributes:
        source: the proxy's database.
        ledger: the database of the reconciler's own schema.
        one_database: whether source and ledger are one.
        lago_api_base: such as `https://api.getlago.com`, without `/api/v1`; empty if Lago is not required.
        lago_api_key: as `lago_api_base`; that of a file as it was when the settings were read.
        lago_api_key_file: the file that holds the key; None if a setting does.
        settle: how long after its end a window counts as settled.
        lookback: how far before the watermark every pass looks again.
        horizon: how far back late and changed rows are looked for.
        interval: the time between the service's passes.
        statement_timeout: the longest that one database statement may take.
        rate: the most requests a second to Lago; None is no ceiling.
        deadline: how long one pass may send; several meters share it.
        connections: how many batches may be on their way to Lago at once.
        deduplication: whether Lago's ClickHouse store is known to count a repeated event once.
        lag: how long Lago's ClickHouse store may take until an event can be read back.
        alarm_command: the operator's program, with its arguments, that is told of alarms; empty if there is none.
        alarm_webhook: the address that is told of them instead; it may hold a token.
        http: `host:port` of the service's pages.
        http_token: what a reader of those pages must present; None asks for nothing.
        meters: at least one, each name once.
        limits: what no operator sets.
    """

    source: Database
    ledger: Database
    one_database: bool
    lago_api_base: str
    lago_api_key: SecretStr
    lago_api_key_file: Path | None
    settle: timedelta
    lookback: timedelta
    horizon: timedelta
    interval: timedelta
    statement_timeout: timedelta
    rate: float | None
    deadline: timedelta
    connections: int
    deduplication: bool
    lag: timedelta
    alarm_command: tuple[str, ...]
    alarm_webhook: SecretStr | None
    http: str
    http_token: SecretStr | None
    meters: tuple[MeterSettings, ...]
    limits: Limits = field(default_factory=Limits)

    def read_key(self) -> str:
        """Lago's API key, that of a file as it is now: a key may be rotated while the service runs.

        Raises:
            SettingsError: the file can't be read, or holds no key.
        """
        if self.lago_api_key_file is None:
            return self.lago_api_key.get_secret_value()
        try:
            return read.secret_file(self.lago_api_key_file).key.get_secret_value()
        except ValueError as error:
            raise SettingsError(f"LAGO_API_KEY_FILE: {error}") from None

    @property
    def warnings(self) -> Iterator[str]:
        """What works and is not safe, one sentence each."""
        address = urlsplit(self.lago_api_base)
        if address.scheme == "http" and not _is_loopback(address.hostname or ""):
            yield (
                f"LAGO_API_BASE ({self.lago_api_base}) is plain http: whoever is on the way can read the API key and "
                "the usage. Use https, as in https://lago.example.com."
            )
        for meter in self.meters:
            if not keep_to_midnights(meter.window):
                yield (
                    f"RECONCILE_WINDOW of meter {meter.name!r} is {format_duration(meter.window)}: such windows lie "
                    "across the midnight of some time zones (Asia/Kolkata is 5:30 ahead of UTC, Asia/Kathmandu 5:45). "
                    "A customer whose billing period begins within a window has all of that window's usage in one "
                    "period. 15m fits every time zone."
                )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def load_settings(
    *,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    require_lago: bool = True,
) -> Settings:
    """Read and check the settings: flag over environment over file over default.

    Args:
        config: the TOML file; by default that of `RECONCILE_CONFIG`, else `./reconcile.toml` if it exists.
        overrides: what flags say, by the file's keys, such as `{"window": "5m"}`; None says nothing.
        environ: the environment, by default the process's. An empty value says nothing.
        require_lago: whether Lago's address, key and event code must be there.

    Raises:
        SettingsError: something is missing, wrong or unknown; a line for each fault, none with a secret.
    """
    environ = os.environ if environ is None else environ
    path, content, tables = read_file(config, environ)
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    variables_ = Environment(_Given, _VARIABLES.values(), environ)
    faults = [*variables_.broken.values()]
    told = _Told(path, content, variables_() | flags, tables, {*variables_.broken})
    told.leave_out_odd_values(faults)
    told.take_parts(environ, faults)
    given = None
    try:
        given = _Given(**told.top)
    except ValidationError as error:
        faults += sentences(error, told.origin, partial(advice, keys=_VARIABLES))
    faults += misspelt_variables(environ, {*_VARIABLES.values(), CONFIG})
    faults += told.missing(require_lago=require_lago)
    meters = tuple(told.meters(faults))
    if faults or given is None or given.database_url is None:
        raise SettingsError("\n".join(dict.fromkeys(faults)))
    return given.settings(given.database_url, told.chosen(meters, by_flag="meter" in flags))


def _database(variable: str) -> BeforeValidator:
    def parse(value: object) -> Database:
        if isinstance(value, Database):
            return value
        try:
            return Database.from_url(str(value), variable)
        except SettingsError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(parse)


class _Given(MeterKeys, BaseSettings):
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
        # `load_settings` has put the places in order, and the environment need not be the process's.
        return (init_settings,)

    def settings(self, source: Database, meters: tuple[MeterSettings, ...]) -> Settings:
        ledger = self.ledger_url or source
        one_database = ledger.conninfo == source.conninfo
        return Settings(
            source=source,
            ledger=source if one_database else ledger,
            one_database=one_database,
            lago_api_base=self.lago_api_base,
            lago_api_key=self.lago_api_key or (self.lago_api_key_file.key if self.lago_api_key_file else SecretStr("")),
            lago_api_key_file=self.lago_api_key_file.path if self.lago_api_key_file else None,
            settle=self.settle,
            lookback=self.lookback,
            horizon=self.horizon,
            interval=self.interval,
            statement_timeout=self.statement_timeout,
            rate=self.rate,
            deadline=self.deadline,
            connections=self.connections,
            deduplication=self.deduplication,
            lag=self.lag,
            alarm_command=self.alarm_command,
            alarm_webhook=self.alarm_webhook,
            http=self.http,
            http_token=self.http_token,
            meters=meters,
        )


_VARIABLES = variables(_Given)
_METER_KEYS = frozenset(variables(MeterKeys))


@dataclass(frozen=True, repr=False)
class _Told:
    """What each place said, before it is checked: `above` goes before `file`, the top level of the file.

    `broken` are the variables that said something which can't be read.
    """

    path: Path
    file: dict[str, Any]
    above: dict[str, Any]
    tables: dict[str, dict[str, Any]]
    broken: set[str]

    @property
    def top(self) -> dict[str, Any]:
        """What holds of the top level's keys."""
        return self.file | self.above

    def origin(self, key: str, table: str = "") -> str:
        """Name the place where a faulty key is to be mended."""
        if table:
            return f"{key} of {self.table(table)}"
        variable = _VARIABLES.get(key)
        if variable and key in self.above:
            return variable
        return f"{key} in {self.path}" + (f" ({variable})" if variable else "")

    def missing(self, *, require_lago: bool) -> Iterator[str]:
        """Say what must be there and nobody said."""
        told = self.top | {key: None for key, variable in _VARIABLES.items() if variable in self.broken}
        if "database_url" not in told:
            yield (
                f"DATABASE_URL is not set, nor is {proxy.HOST}: give the proxy's database, such as "
                f"{database_url.EXAMPLE}"
            )
        if not require_lago:
            return
        if "lago_api_base" not in told:
            yield "LAGO_API_BASE is not set: give Lago's address, such as https://api.getlago.com"
        if not {"lago_api_key", "lago_api_key_file"} & told.keys():
            yield (
                "LAGO_API_KEY is not set: give Lago's API key, or in LAGO_API_KEY_FILE a file that holds it, "
                "such as /run/secrets/lago_api_key"
            )
        if "lago_api_event_code" not in told:
            without = [name for name, table in self.tables.items() if "lago_api_event_code" not in table]
            keys = [f"lago_api_event_code of {self.table(name)}" for name in without]
            for key in keys if self.tables else ["LAGO_API_EVENT_CODE"]:
                yield f"{key} is not set: give the code of a billable metric in Lago, such as openai_tokens"

    def take_parts(self, environ: Mapping[str, str], faults: list[str]) -> None:
        """Take the proxy's database from LiteLLM's variables for its parts, if nobody said its URL."""
        if "database_url" in self.top or _VARIABLES["database_url"] in self.broken:
            return
        try:
            if url := proxy.url_of_parts(environ):
                self.above["database_url"] = Database.from_url(url, proxy.HOST)
        except (ValueError, SettingsError) as error:
            faults.append(str(error))
            self.broken.add(_VARIABLES["database_url"])

    def leave_out_odd_values(self, faults: list[str]) -> None:
        """Leave out of the file what is of no kind that a setting has, and say so."""
        for key in self.file.keys() - sound(self.file, self.origin, faults).keys():
            self.broken.add(_VARIABLES.get(key, key))
            del self.file[key]
        for name, table in self.tables.items():
            self.tables[name] = sound(table, partial(self.origin, table=name), faults)

    def meters(self, faults: list[str]) -> Iterator[MeterSettings]:
        """Make the meters; what is wrong in a table is added to the faults.

        Where the file has tables, its top level and the environment say what these inherit. The top level is a meter
        itself if the file gives it an event code, or if there is no table.
        """
        shared = {key: value for key, value in self.top.items() if key in _METER_KEYS}
        name = str((self.file if self.tables else self.top).get("meter", "default"))
        if "lago_api_event_code" in self.file or not self.tables:
            with suppress(ValidationError):  # `_Given` reports it
                yield MeterSettings.model_validate(shared | {"name": name})
            if name in self.tables:
                faults.append(
                    f"{self.table(name)} has the name of the meter that the top level describes: "
                    "move its keys there, or name it otherwise, such as [meters.teams]"
                )
        for name, table in self.tables.items():
            try:
                read.meter_name(name)
                MeterKeys.model_validate(table)
            except ValidationError as error:
                told = partial(advice, keys=_METER_KEYS, above=_VARIABLES)
                faults += sentences(error, partial(self.origin, table=name), told)
            except ValueError as error:
                faults.append(f"{self.table(name)}: {error}")
            else:
                with suppress(ValidationError):  # as above
                    yield MeterSettings.model_validate(shared | table | {"name": name})

    def chosen(self, meters: tuple[MeterSettings, ...], *, by_flag: bool) -> tuple[MeterSettings, ...]:
        """The one of several meters that the environment or a flag names, else all.

        Raises:
            UsageError: a flag names none of them.
            SettingsError: the environment does.
        """
        name = self.above.get("meter")
        if name is None or not self.tables:
            return meters
        if found := tuple(each for each in meters if each.name == name):
            return found
        names = ", ".join(each.name for each in meters)
        if by_flag:
            raise UsageError(f"--meter {name}: the settings describe {names}.")
        raise SettingsError(f"RECONCILE_METER is {name}, and the meters in {self.path} are {names}: name one of them.")

    def table(self, name: str) -> str:
        """Name a meter's table."""
        return f"[meters.{name}] in {self.path}"
