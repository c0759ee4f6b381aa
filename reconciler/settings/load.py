"""The settings: flag over environment over TOML file over default, every fault told in a sentence.

Names are those of the design: LiteLLM's own (`DATABASE_URL`, `LAGO_API_KEY`, …) and ours behind `RECONCILE_`.
The file holds them in lower case without that prefix, and more meters in `[meters.NAME]` tables.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from reconciler.database.address import Database
from reconciler.model.durations import format_duration
from reconciler.model.errors import SettingsError
from reconciler.model.terms import ChargeBy
from reconciler.model.windows import keep_to_midnights
from reconciler.settings import values as read
from reconciler.settings.given import VARIABLES, Given
from reconciler.settings.limits import Limits
from reconciler.settings.meter import MeterSettings
from reconciler.settings.misspelt import advice, misspelt_variables
from reconciler.settings.sources import CONFIG, Environment, read_file, sentences
from reconciler.settings.told import Told
from reconciler.settings.values import Exclusion, MappingFile, MappingTable

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

    def require_two_connections(self) -> None:
        """See that a dry run can read the source beside its ledger, whose transaction it keeps open.

        Raises:
            SettingsError: the one database gives no more than one connection.
        """
        if self.one_database and self.source.connections == 1:
            raise SettingsError(
                f"{self.source.variable} has connection_limit=1, and a dry run needs two connections: "
                "write connection_limit=2."
            )

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
    variables_ = Environment(Given, VARIABLES.values(), environ)
    faults = [*variables_.broken.values()]
    told = Told(path, content, variables_() | flags, tables, {*variables_.broken})
    told.leave_out_odd_values(faults)
    told.take_parts(environ, faults)
    given = None
    try:
        given = Given(**told.top)
    except ValidationError as error:
        faults += sentences(error, told.origin, partial(advice, keys=VARIABLES))
    faults += misspelt_variables(environ, {*VARIABLES.values(), CONFIG})
    faults += told.missing(require_lago=require_lago)
    meters = tuple(told.meters(faults))
    if faults or given is None or given.database_url is None:
        raise SettingsError("\n".join(dict.fromkeys(faults)))
    return _settings(given, given.database_url, told.chosen(meters, by_flag="meter" in flags))


def _settings(given: Given, source: Database, meters: tuple[MeterSettings, ...]) -> Settings:
    ledger = given.ledger_url or source
    one_database = ledger.conninfo == source.conninfo
    return Settings(
        source=source,
        ledger=source if one_database else ledger,
        one_database=one_database,
        lago_api_base=given.lago_api_base,
        lago_api_key=given.lago_api_key or (given.lago_api_key_file.key if given.lago_api_key_file else SecretStr("")),
        lago_api_key_file=given.lago_api_key_file.path if given.lago_api_key_file else None,
        settle=given.settle,
        lookback=given.lookback,
        horizon=given.horizon,
        interval=given.interval,
        statement_timeout=given.statement_timeout,
        rate=given.rate,
        deadline=given.deadline,
        connections=given.connections,
        deduplication=given.deduplication,
        lag=given.lag,
        alarm_command=given.alarm_command,
        alarm_webhook=given.alarm_webhook,
        http=given.http,
        http_token=given.http_token,
        meters=meters,
    )
