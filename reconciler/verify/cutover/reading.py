"""The callback's events, read from Lago by pages and kept in the ledger, page by page."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from reconciler.database.postgres import execute
from reconciler.lago.client import Lago
from reconciler.ledger.store import Ledger
from reconciler.verify.cutover.callback import CallbackEvent, read

_AT_ONCE = timedelta(hours=6)
"""So much time one listing covers: Lago counts through all earlier pages to find the next."""


def keep_events(
    ledger: Ledger, lago: Lago, meter: str, code: str, since: datetime, until: datetime, *, computed: str | None
) -> None:
    """Keep the callback's events of a code from `since` to `until`, both inclusive.

    Args:
        ledger: where they are kept; a dry one forgets them at its end.
        lago: who is asked.
        meter: whose they will be.
        code: of the callback's metric.
        since: the begin.
        until: the end.
        computed: the property that Lago adds by the metric's expression, if it has one.

    Raises:
        LagoError: Lago is away or refuses us.
    """
    position = since
    while position < until:  # spans share an end: Lago keeps finer moments than it shows
        end = min(position + _AT_ONCE, until)
        for page in lago.events(code, position, end):
            found = [one for event in page.things if (one := read(event, computed)) is not None]
            if found:
                with ledger.transaction(making=True) as connection:
                    execute(connection, "cutover/keep_events", {"meter": meter} | _columns(found))
            ledger.stay()
        position = end


def _columns(events: Sequence[CallbackEvent]) -> dict[str, Any]:
    return {
        "ids": [each.id for each in events],
        "codes": [each.code for each in events],
        "subscriptions": [each.subscription for each in events],
        "moments": [each.moment for each in events],
        "models": [each.model for each in events],
        "input_tokens": [each.input_tokens for each in events],
        "output_tokens": [each.output_tokens for each in events],
        "total_tokens": [each.total_tokens for each in events],
        "costs": [each.cost for each in events],
    }
