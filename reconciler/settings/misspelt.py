"""What to say of a variable or a key that is no setting: it would be missed without a word."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from reconciler.model.guesses import meant

PREFIX = "RECONCILE_"
LAGO = "LAGO_API_"

_FLAGS = {"dry_run": "--dry-run", "since": "--since", "until": "--until", "adopt": "--adopt", "json": "--json"}
_LIST = "remove it, or see the list of settings in README.md"

# Kubernetes sets such variables in every pod beside a Service that is called "reconcile".
_SERVICE_LINK = re.compile(r"RECONCILE_(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_[A-Z]+(_\w+)?=|PORT=\w+://)")


def misspelt_variables(environ: Mapping[str, str], names: Collection[str]) -> Iterator[str]:
    """A sentence for each variable that looks like one of ours and is none; `names` are those that are read."""
    for name, value in sorted(environ.items()):
        if name in names or _SERVICE_LINK.match(f"{name}={value}"):
            continue
        upper = name.upper()
        if upper.startswith(PREFIX):
            yield f"{name} is not a setting: {_advice(upper.removeprefix(PREFIX), names, variable=True)}"
        elif (right := _meant_elsewhere(upper, names)) and not environ.get(right, "").strip():
            yield f"{name} is not a setting: did you mean {right}?"


def _meant_elsewhere(name: str, names: Collection[str]) -> str | None:
    """The setting that is meant by a variable without our prefix, which may well be another program's."""
    if name in names:
        return name
    if name.startswith("RECONCILER_"):
        right = PREFIX + name.removeprefix("RECONCILER_")
        return right if right in names else None
    if name.startswith(LAGO):
        found = meant(name.removeprefix(LAGO), [each.removeprefix(LAGO) for each in names if each.startswith(LAGO)])
        return found and LAGO + found
    return None


def advice(key: str, keys: Collection[str], *, above: Collection[str] = ()) -> str:
    """What to do about a key of the file that is no setting there; `above` are those that the top level may hold."""
    bare = re.sub(f"^{PREFIX}", "", key, flags=re.IGNORECASE).lower()
    if bare not in keys and bare in above:
        return f"it holds for all meters, so write {bare} above the first [meters.…]"
    return _advice(bare, keys)


def _advice(bare: str, names: Collection[str], *, variable: bool = False) -> str:
    if flag := meant(bare, _FLAGS):
        return f"give the command the option {_FLAGS[flag]}"
    mark: Callable[[str], str] = str.upper if variable else str.lower
    known, bare = {_short(each): each for each in names}, mark(_short(bare))
    right = meant(bare, known) or _part(bare, known)
    return f"did you mean {known[right]}?" if right else _LIST


def _short(name: str) -> str:
    """A name without what it begins with, by which people remember it."""
    return re.sub(f"^({PREFIX}|{LAGO})", "", name, flags=re.IGNORECASE)


def _part(bare: str, known: Mapping[str, str]) -> str | None:
    """The longest known name of which this one is the beginning, or the other way round, in whole words."""
    found = [each for each in known if f"{each}_".startswith(f"{bare}_") or f"{bare}_".startswith(f"{each}_")]
    return max(found, key=len, default=None)
