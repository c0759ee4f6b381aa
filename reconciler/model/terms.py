"""The terms that a meter bills by, and since when: invariant 10.

A declared change begins at a window boundary. Earlier windows keep their terms, so a row that arrives late for one
of them is billed as its neighbours were.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import lcm

from reconciler.model import windows

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a meter's first terms hold: also for windows backfilled before its start."""


class ChargeBy(StrEnum):
    """Who is billed; the values are LiteLLM's own."""

    END_USER = "end_user_id"
    USER = "user_id"
    TEAM = "team_id"

    @property
    def column(self) -> str:
        """The name, unquoted, of the spend table's column that holds the customer."""
        return {ChargeBy.END_USER: "end_user", ChargeBy.USER: "user", ChargeBy.TEAM: "team_id"}[self]


@dataclass(frozen=True)
class Terms:
    """Every setting that selects rows, keys or measures. Another value of any bills something else."""

    code: str
    charge_by: str
    window_seconds: int
    model_column: str
    cache_hits: bool
    exclude: tuple[str, ...]

    @property
    def window(self) -> timedelta:
        """The windows' length."""
        return timedelta(seconds=self.window_seconds)

    @property
    def customer_column(self) -> str:
        """The spend table's column that holds the customer."""
        return ChargeBy(self.charge_by).column

    @property
    def bucket_column(self) -> str | None:
        """The spend table's column that names a bucket's model; None if one bucket holds all of a customer's models."""
        return None if self.model_column == "none" else self.model_column

    def exclusion_column(self, kind: str) -> str:
        """The spend table's column that exclusions of that kind are matched with."""
        own = {"customer": self.customer_column, "model": self.bucket_column or "model"}
        return {**own, "user": "user", "team": "team_id", "key": "api_key"}[kind]

    def may_share_usage(self, other: "Terms") -> bool:
        """Whether one row may be billed by both, under one code: then Lago counts it twice.

        Who is charged by it, the window and the model make no difference. Nor do exclusions, unless one side leaves out
        all that the other's charge-by may bill, as `team:*` does beside a meter that bills teams.
        """
        billed = {self.customer_column, other.customer_column}
        return self.code == other.code and billed.isdisjoint(self.left_out | other.left_out)

    @property
    def left_out(self) -> set[str]:
        """The columns that no billed row has a value in, since an exclusion leaves out all of them."""
        named = (text.partition(":") for text in self.exclude)
        return {self.exclusion_column(kind) for kind, _, pattern in named if set(pattern) == {"*"}}

    def differences(self, other: "Terms") -> list[str]:
        """What differs, one phrase a field: ours, then the other's."""
        names = {
            "code": "LAGO_API_EVENT_CODE",
            "charge_by": "LAGO_API_CHARGE_BY",
            "window_seconds": "RECONCILE_WINDOW (seconds)",
            "model_column": "RECONCILE_MODEL_COLUMN",
            "cache_hits": "RECONCILE_CACHE_HITS",
            "exclude": "RECONCILE_EXCLUDE",
        }
        return [
            f"{names[field.name]} was {_shown(mine)}, now {_shown(theirs)}"
            for field in fields(self)
            if (mine := getattr(self, field.name)) != (theirs := getattr(other, field.name))
        ]


@dataclass(frozen=True)
class Stretch:
    """A span of whole windows under the same terms: `[since, until)`."""

    terms: Terms
    since: datetime
    until: datetime


class Timeline:
    """The terms of a meter, in order of the moments from which they hold."""

    def __init__(self, agreed: list[tuple[datetime, Terms]]) -> None:
        """Take at least one agreement."""
        self._agreed = sorted(agreed, key=lambda agreement: agreement[0])

    @property
    def latest(self) -> Terms:
        """The terms agreed last, perhaps for windows to come."""
        return self._agreed[-1][1]

    @property
    def codes(self) -> list[str]:
        """The event codes of all of them."""
        return [terms.code for _, terms in self._agreed]

    @property
    def latest_since(self) -> datetime:
        """From when on they hold."""
        return self._agreed[-1][0]

    def with_(self, since: datetime, terms: Terms) -> "Timeline":
        """The same with other terms from a moment on."""
        return Timeline([*(each for each in self._agreed if each[0] != since), (since, terms)])

    def at(self, moment: datetime) -> Terms:
        """The terms of the window that holds the moment."""
        index = bisect_right([since for since, _ in self._agreed], moment) - 1
        return self._agreed[max(index, 0)][1]

    def floor(self, moment: datetime) -> datetime:
        """The start of the window that holds the moment."""
        return windows.floor(moment, self.at(moment).window)

    def window_end(self, start: datetime) -> datetime:
        """The end of the window that begins at `start`."""
        return start + self.at(start).window

    def next_boundary(self, terms: Terms, now: datetime) -> datetime:
        """The first moment from which new terms can hold: a boundary of both lengths of window, not yet begun."""
        both = timedelta(seconds=lcm(self.latest.window_seconds, terms.window_seconds))
        return max(windows.ceil(now, both), windows.ceil(self._agreed[-1][0], both))

    def stretches(self, since: datetime, until: datetime) -> Iterator[Stretch]:
        """Cut `[since, until)` where terms change."""
        starts = [start for start, _ in self._agreed]
        for index, (start, terms) in enumerate(self._agreed):
            end = starts[index + 1] if index + 1 < len(starts) else until
            lower = since if index == 0 else max(since, start)
            if lower < min(until, end):
                yield Stretch(terms, lower, min(until, end))


def _shown(value: object) -> str:
    return (", ".join(value) or "nothing") if isinstance(value, tuple) else str(value)
