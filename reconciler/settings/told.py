"""What environment, file and flags have said, before it is checked: where each was said, and what is missing."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler.database import address as database_url
from reconciler.database.address import Database
from reconciler.model.errors import SettingsError, UsageError
from reconciler.settings import proxy
from reconciler.settings import values as read
from reconciler.settings.given import METER_KEYS, VARIABLES
from reconciler.settings.meter import MeterKeys, MeterSettings
from reconciler.settings.misspelt import advice
from reconciler.settings.sources import sentences, sound


@dataclass(frozen=True, repr=False)
class Told:
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
        variable = VARIABLES.get(key)
        if variable and key in self.above:
            return variable
        return f"{key} in {self.path}" + (f" ({variable})" if variable else "")

    def missing(self, *, require_lago: bool) -> Iterator[str]:
        """Say what must be there and nobody said."""
        told = self.top | {key: None for key, variable in VARIABLES.items() if variable in self.broken}
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
        if "database_url" in self.top or VARIABLES["database_url"] in self.broken:
            return
        try:
            if url := proxy.url_of_parts(environ):
                self.above["database_url"] = Database.from_url(url, proxy.HOST)
        except (ValueError, SettingsError) as error:
            faults.append(str(error))
            self.broken.add(VARIABLES["database_url"])

    def leave_out_odd_values(self, faults: list[str]) -> None:
        """Leave out of the file what is of no kind that a setting has, and say so."""
        for key in self.file.keys() - sound(self.file, self.origin, faults).keys():
            self.broken.add(VARIABLES.get(key, key))
            del self.file[key]
        for name, table in self.tables.items():
            self.tables[name] = sound(table, partial(self.origin, table=name), faults)

    def meters(self, faults: list[str]) -> Iterator[MeterSettings]:
        """Make the meters; what is wrong in a table is added to the faults.

        Where the file has tables, its top level and the environment say what these inherit. The top level is a meter
        itself if the file gives it an event code, or if there is no table.
        """
        shared = {key: value for key, value in self.top.items() if key in METER_KEYS}
        name = str((self.file if self.tables else self.top).get("meter", "default"))
        if "lago_api_event_code" in self.file or not self.tables:
            with suppress(ValidationError):  # `Given` reports it
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
                told = partial(advice, keys=METER_KEYS, above=VARIABLES)
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
