"""Which usage of a name lies where no subscription of it bills it any more. Pure: the verdict of a real pass, cut up.

A verdict changes only where a subscription, a period or an invoice begins or ends. Between two such moments it is one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

from reconciler.delivery.spans import (
    SECOND,
    Billed,
    Subscription,
    is_present,
    is_replaced,
    judge,
    last_period_since,
    living,
    spans_of,
)
from reconciler.lago.subscriptions import lagos_time, read
from reconciler.model.terms import BEGINNING
from reconciler.model.words import minute

Kind = Literal["began later", "ended", "upgraded", "closed period"]

LATEST = datetime(9999, 1, 1, tzinfo=UTC)

BEGUN = ("active", "terminated")
_UNKNOWN = "its period is over, and its invoice, if there is one, may be a draft, which takes usage"


@dataclass(frozen=True)
class Part:
    """A span in which no event is billed.

    Attributes:
        kind: why, in a word or two.
        since: from when on events lie in it.
        until: up to when, exclusive.
        words: why, as a pass would say it.
        is_known: whether Lago has told; else it was not asked for an invoice, which may be a draft and take usage.
    """

    kind: Kind
    since: datetime
    until: datetime
    words: str
    is_known: bool = True

    def may_hold(self, first: datetime, last: datetime) -> bool:
        """Whether events from a first to a last moment may lie in it."""
        return self.since <= last and first < self.until


def begun(told: Iterable[Mapping[str, Any]]) -> list[Subscription]:
    """Those of Lago's subscriptions that have begun."""
    return spans_of(read(one) for one in told if one.get("status") in BEGUN)


def begins_at(told: Iterable[Mapping[str, Any]]) -> str | None:
    """When the one that is yet to begin does, in words; None if there is none."""
    pending = [one for one in told if one.get("status") == "pending"]
    at = lagos_time(pending[0].get("subscription_at")) if pending else None
    return minute(at) if at else ("some day" if pending else None)


def parts(spans: Sequence[Subscription], billed: Sequence[Billed] | None, *, was_sent: bool) -> list[Part]:
    """The spans in which events of a name are not billed.

    Args:
        spans: its subscriptions that have begun, at least one.
        billed: its periods that have an invoice; None if that is not known.
        was_sent: whether passes have sent its usage in time, so that what a subscription covered is billed.
    """
    found: list[Part] = []
    for since, until in pairwise([*sorted(_moments(spans, billed)), LATEST]):
        part = _part(since, until, spans, billed, was_sent=was_sent)
        if part is None:
            continue
        last = found[-1] if found else None
        if last and (last.until, last.kind, last.words) == (since, part.kind, part.words):
            found[-1] = replace(last, until=until)
        else:
            found.append(part)
    return found


def _part(
    since: datetime,
    until: datetime,
    spans: Sequence[Subscription],
    billed: Sequence[Billed] | None,
    *,
    was_sent: bool,
) -> Part | None:
    """What becomes of events between two moments, if they are not billed."""
    holder = living(since, spans)
    if holder is None:
        ended = any(one.ended_at and one.ended_at < since for one in spans)
        kind: Kind = "ended" if ended else "began later"
    elif was_sent or is_present(since, spans):
        return None
    elif holder.ended_at:
        kind = "upgraded" if is_replaced(holder.ended_at, spans) else "ended"
    else:
        kind = "closed period"
    if holder and billed is None:
        return Part(kind, since, until, _UNKNOWN, is_known=False)
    verdict = judge(since, spans, billed)
    return None if verdict.goes else Part(kind, since, until, verdict.words)


def _moments(spans: Sequence[Subscription], billed: Sequence[Billed] | None) -> set[datetime]:
    """All moments at which a verdict may change."""
    moments = {BEGINNING}
    for one in spans:
        moments |= {one.started_at, one.present_since, one.created_at}
        moments |= {one.ended_at, one.ended_at + SECOND} if one.ended_at else set()
        moments |= {since} if (since := last_period_since(one)) else set()
    for period in billed or ():
        moments |= {period.since, period.until + SECOND}
    return {moment for moment in moments if BEGINNING <= moment < LATEST}
