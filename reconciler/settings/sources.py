"""Where settings come from, the environment and the TOML file, and how a fault names its place."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from reconciler.model.errors import SettingsError
from reconciler.settings.misspelt import PREFIX

CONFIG = "RECONCILE_CONFIG"
DEFAULT_FILE = Path("reconcile.toml")

# Its value is read as a shell reads it: the first word may be in quotes, and the last.
_WITH_QUOTES = "RECONCILE_ALARM_COMMAND"

# What a sentence begins with that names its variable itself.
_VARIABLE = re.compile(r"(DATABASE_|LAGO_API_|RECONCILE_)")


def variables(model: type[BaseModel]) -> dict[str, str]:
    """Return the keys that the file may hold, each with the name of its variable."""
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else name: (
            field.validation_alias.upper() if isinstance(field.validation_alias, str) else PREFIX + name.upper()
        )
        for name, field in model.model_fields.items()
    }


class Environment(EnvSettingsSource):
    """The variables of a given environment rather than the process's; an empty or broken one counts as unset."""

    def __init__(self, settings: type[BaseSettings], names: Iterable[str], environ: Mapping[str, str]) -> None:
        said = {name: environ[name] for name in names if environ.get(name, "").strip()}
        self.broken = {name: fault for name, value in said.items() if (fault := _broken(name, value))}
        """What is wrong with variables whose value is not even text, a sentence each."""
        self._told = {name.lower(): value for name, value in said.items() if name not in self.broken}
        super().__init__(settings, case_sensitive=False)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._told


def _broken(name: str, value: str) -> str | None:
    if any("\ud800" <= character <= "\udfff" for character in value):
        return f"{name} is not text in UTF-8: write it again"
    bare = value.strip()
    if name != _WITH_QUOTES and len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"":
        return f"{name} begins and ends with a quote, which is taken for a part of it: write it without"
    return None


def sentences(error: ValidationError, origin: Callable[[str], str], advice: Callable[[str], str]) -> Iterator[str]:
    """Turn pydantic's errors into sentences without the values, which may be secret."""
    for fault in error.errors(include_url=False, include_input=False):
        key = str(fault["loc"][0]) if fault["loc"] else ""
        said = str(fault.get("ctx", {}).get("error", fault["msg"]))
        if fault["type"] == "extra_forbidden":
            yield f"{origin(key)} is not a setting: {advice(key)}"
        elif not key or _VARIABLE.match(said):  # it names its variable itself
            yield said
        else:
            yield f"{origin(key)}: {said}"


def sound(table: Mapping[str, Any], origin: Callable[[str], str], faults: list[str]) -> dict[str, Any]:
    """The values that are texts, numbers, switches or lists of these; each other one is a sentence in `faults`."""
    kept = {}
    for key, value in table.items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | int | float) for item in items):
            faults.append(f"{origin(key)} must be a text, a number, or true or false, such as those in README.md")
        elif any("\0" in str(item) for item in items):
            faults.append(f"{origin(key)} holds a NUL character: write it without")
        else:
            kept[key] = value
    return kept


def read_file(
    config: Path | None, environ: Mapping[str, str]
) -> tuple[Path, dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the file's path, its top level and the tables of its meters; nothing if there is no file.

    Raises:
        SettingsError: a file was named that can't be read, or it is not TOML.
    """
    named = environ.get(CONFIG, "").strip()
    path = config or (Path(named) if named else DEFAULT_FILE)
    source = "--config" if config else CONFIG
    if path == DEFAULT_FILE and not (config or named or _is_there(path)):
        return path, {}, {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{source}: {str(path)!r} can't be read ({error.strerror}): name a TOML file, such as reconcile.toml"
        ) from None
    except ValueError as error:
        where = re.search(r"\(at .*\)$", str(error))  # without the rest, which may quote the file
        raise SettingsError(
            f'{path} is not TOML {where[0] if where else ""}: write lines such as window = "15m"'
        ) from None
    tables = content.pop("meters", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingsError(f"meters in {path} must be tables, such as [meters.teams]")
    if other := next((key for key, value in content.items() if isinstance(value, dict)), None):
        raise SettingsError(
            f"[{other}] in {path} is no table of a meter: write [meters.NAME] for a meter, such as [meters.teams], and "
            "all other settings above the first of them"
        )
    return path, content, tables


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # a working directory that may not be entered holds no settings for us
        return False
