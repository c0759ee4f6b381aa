"""Which name is meant by a misspelt one: a right guess, or none."""

import difflib
from collections.abc import Iterable

LIKE = 0.8
"""How alike two names must be, from 0 to 1: `intervl` and `interval` are, `ssl` and `sslsni` are not."""


def meant(name: str, names: Iterable[str]) -> str | None:
    """The one of the names that a misspelt one stands for, if that is plain.

    Capitals, hyphens and underscores make no difference; a letter too many, too few or another makes a little one.
    """
    known = {_bare(each): each for each in sorted(names)}
    found = difflib.get_close_matches(_bare(name), known, n=1, cutoff=LIKE)
    return known[found[0]] if found else None


def alike(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names that a person may have meant by another, at most so many: those that hold it, then those like it."""
    known = {_bare(each): each for each in sorted(names)}
    bare = _bare(name)
    holding = [each for each in known if bare and bare in each]
    found = dict.fromkeys([*holding, *difflib.get_close_matches(bare, known, n=most)])
    return [known[each] for each in found][:most]


def _bare(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
