"""What Lago counts of the subscriptions of one customer, who may share them with others."""

from datetime import datetime

from reconciler.lago.client import Lago
from reconciler.ledger import changes
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.report.statement import Counted, Statement
from reconciler.verify.lagos_count import LAST, LagosCount
from reconciler.verify.sent import Sums


def counted(
    meter: Meter, ledger: Ledger, lago: Lago, statement: Statement, *, now: datetime, horizon: datetime
) -> list[Counted]:
    """What Lago counts in the periods that meet a statement's span. The ledger takes no note of it.

    Args:
        meter: the statement's meter.
        ledger: where its events are.
        lago: who is asked.
        statement: whose subscriptions.
        now: up to here windows are read.
        horizon: events of windows from here on may have been moved into a later period.

    Raises:
        LagoError: Lago is away or refuses us, or it is another organization than the meter's.
        MeterChangedError: it is another Lago than the meter's.
    """
    changes.refuse_moved(meter, source=meter.source, lago=lago.base)
    changes.refuse_another_organization(meter, lago.organization())
    [(first,)] = ledger.once("verify/first_window", {"meter": meter.name})
    begin = max(statement.since, first or statement.since)
    asked = LagosCount(meter, ledger, lago, meter.timeline.latest.code).compare(
        statement.subscriptions, begin, scanned_since=horizon, again=True, keeps=False
    )
    found = [each for each in asked if each.period.since < statement.until]
    if not found:
        return []
    code, since = meter.timeline.latest.code, min(begin, horizon)
    sums = Sums(meter, ledger, code=code, since=since, until=now, customer=statement.customer)
    own = sums.of([each.period for each in found], found[0].metric)
    return [
        Counted(
            subscription=each.period.subscription,
            since=each.period.since,
            until=None if each.period.until == LAST else each.period.until,
            unit=each.metric.unit,
            sent_events=each.sent.events,
            sent=each.metric.value(each.sent),
            own_events=mine.count.events,
            own=each.metric.value(mine.count),
            counted_events=each.shown.events,
            counted=each.metric.value(each.shown),
            why=each.kind.name if each.kind else None,
            means=each.kind.means if each.kind else None,
        )
        for each, mine in zip(found, own, strict=True)
    ]
