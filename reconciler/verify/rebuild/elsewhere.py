"""What Lago holds of a meter besides what a rebuild has read: a pass would bill it once more, or never look there."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from reconciler.lago.client import Lago
from reconciler.lago.reading import MILLISECOND
from reconciler.lago.shown import is_of, key_of
from reconciler.model.errors import MeterChangedError
from reconciler.model.terms import BEGINNING
from reconciler.model.windows import DAY, floor
from reconciler.model.words import minute

_DAYS, _PAGES = 10, 10
"""Of so many days with usage that is to be billed one customer's events are asked for, so many pages of each."""


class ToBill(NamedTuple):
    """Usage that is to be billed.

    Attributes:
        window: its window's start.
        subscription: to which it would go.
    """

    window: datetime
    subscription: str


def window_before(lago: Lago, meter: str, code: str, since: datetime, horizon: timedelta) -> datetime | None:
    """The window of an event of a meter's from before a moment; None if a page of the latest shows none.

    Args:
        lago: who is asked.
        meter: its name.
        code: its event code.
        since: that moment.
        horizon: how long before it.
    """
    if since <= BEGINNING:
        return None
    page = next(lago.events(code, max(since, BEGINNING + horizon) - horizon, since - MILLISECOND))
    keys = [key for event in page.things if is_of(event, meter) and (key := key_of(event))]
    return max(start for start, _, _ in keys).astimezone(UTC) if keys else None


def refuse_another_code(lago: Lago, meter: str, read: Iterable[str], to_bill: Iterable[ToBill]) -> None:
    """See that what is to be billed was not billed under another code: nearly all of a time would have been.

    Args:
        lago: who is asked: for the events of one customer and day, whatever their code.
        meter: its name.
        read: the codes of which all events were read.
        to_bill: some of it.

    Raises:
        MeterChangedError: it was; says under which code.
    """
    codes = set(read)
    for each in sorted(to_bill)[:_DAYS]:
        end = floor(each.window, DAY) + DAY - MILLISECOND
        for page in islice(lago.events(None, each.window, end, each.subscription), _PAGES):
            for event in page.things:
                if is_of(event, meter) and (code := str(event.get("code"))[:100]) not in codes:
                    raise MeterChangedError(
                        f"Lago holds events of meter {meter!r} under the code {code!r}, such as "
                        f"{str(event['transaction_id'])[:100]}, of {minute(each.window)} or later that day, where "
                        "the spend table has usage that a pass would bill under another code: twice. Nothing was done. "
                        f"Run it with --code {code} as well; or, if another proxy has sent them under this meter's "
                        "name, choose a --since after them, and give it its own RECONCILE_METER."
                    )
