"""Before a ledger's first delivery: has its meter billed under another event code, in a ledger that was lost since?

An id depends on the code, so Lago would count the same usage once more under the new one.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from reconciler.delivery.foreign import UnknownEventsError
from reconciler.lago.client import Lago
from reconciler.lago.shown import is_of
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import LagoAwayError, LagoError

_ASKED = 10
"""So many subscriptions are asked about, those with the most events to send, a page each."""


def under_another_code(
    lago: Lago, ledger: Ledger, meter: Meter, since: datetime, until: datetime
) -> Iterator[dict[str, Any]]:
    """The meter's events under codes that this ledger has never had, of subscriptions that it is about to send to.

    A subscription that Lago, or a gateway before it, refuses to be asked about is left out.

    Args:
        lago: who is asked, whatever the code.
        ledger: knows what is to be sent.
        meter: whose events.
        since: from which moment on.
        until: up to which, inclusive.

    Raises:
        LagoAwayError: Lago is away.
    """
    codes = set(meter.timeline.codes)
    for (subscription,) in ledger.once("delivery/most_to_send", {"meter": meter.name, "most": _ASKED}):
        try:
            page = next(lago.events(None, since, until, subscription))
        except LagoAwayError:
            raise
        except LagoError:
            continue  # a gateway may dislike one customer's name: that stops nobody else's billing
        for event in page.things:
            if is_of(event, meter.name) and event.get("code") not in codes:
                yield event


def recoded(meter: Meter, found: Collection[Mapping[str, Any]]) -> UnknownEventsError:
    """What is said of such events; at least one."""
    event = next(iter(found))
    old, new = str(event.get("code"))[:100], meter.timeline.latest.code
    return UnknownEventsError(
        f"Lago holds {len(found)} or more events of meter {meter.name!r} under the code {old!r}, such as "
        f"{str(event['transaction_id'])[:100]} of window {str(event['properties'].get('window'))[:100]}, and this "
        f"ledger, which has sent nothing yet, bills under {new!r}: its ledger was lost since the code has changed, or "
        "another proxy bills under this name. Usage that was billed under one would be billed under the other once "
        "more, so nothing is sent for this meter. Choose: bring the ledger back (restore the schema reconciler, or "
        "point RECONCILE_LEDGER_URL at it); make it anew from Lago's events: `reconcile rebuild --since` the day on "
        f"which billing began, with --code {old}; bill from where it ended with `reconcile --since` that time in an "
        "empty ledger; or, if this is other usage, give it its own RECONCILE_METER and run `reconcile --adopt` once.",
        len(found),
    )
