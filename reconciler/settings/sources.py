"""Where settings come from, the environment and the TOML file, and how a fault names its place."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from reconciler.model.errors import SettingsError

PREFIX = "RECONCILE_"
CONFIG = "RECONCILE_CONFIG"
DEFAULT_FILE = Path("reconcile.toml")

# Kubernetes sets such variables in every pod beside a Service that is called "reconcile".
_SERVICE_LINK = re.compile(r"RECONCILE_(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_[A-Z]+(_\w+)?=|PORT=\w+://)")
# What a sentence begins with that names its variable itself.
_VARIABLE = re.compile(r"(DATABASE_URL|LAGO_API_|RECONCILE_)")


def variables(model: type[BaseModel]) -> dict[str, str]:
    """Return the keys that the file may hold, each with the name of its variable."""
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else name: (
            field.validation_alias.upper() if isinstance(field.validation_alias, str) else PREFIX + name.upper()
        )
        for name, field in model.model_fields.items()
    }


class Environment(EnvSettingsSource):
    """The variables of a given environment rather than the process's; an empty one counts as unset."""

    def __init__(self, settings: type[BaseSettings], names: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._told = {name.lower(): environ[name] for name in names.values() if environ.get(name, "").strip()}
        super().__init__(settings, case_sensitive=False)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._told


def sentences(error: ValidationError, origin: Callable[[str], str], keys: Iterable[str]) -> Iterator[str]:
    """Turn pydantic's errors into sentences without the values, which may be secret."""
    for fault in error.errors(include_url=False, include_input=False):
        key = str(fault["loc"][0]) if fault["loc"] else ""
        said = str(fault.get("ctx", {}).get("error", fault["msg"]))
        if fault["type"] == "extra_forbidden":
            yield f"{origin(key)} is not a setting: {_guess(key, keys)}"
        elif not key or _VARIABLE.match(said):  # it names its variable itself
            yield said
        else:
            yield f"{origin(key)}: {said}"


def _guess(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else "remove it, or see the documentation for their names"


def unknown_variables(environ: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """Find misspelt variables: one that is not read would be missed without a word."""
    known = {*names, CONFIG}
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.match(f"{name}={value}"):
            yield f"{name} is not a setting: {_guess(name, known)}"


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
    if path == DEFAULT_FILE and not (config or named or path.exists()):
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
    return path, content, tables
