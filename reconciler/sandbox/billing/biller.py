"""What Lago's clock does: it starts and ends subscriptions, closes periods, and makes drafts final.

Every five minutes subscriptions start and outdated drafts are refreshed, at five past the hour those with an end
end, at ten past periods that are over are billed, at twenty past drafts whose grace is over become final. A
subscription that was terminated or replaced is billed at once. Only periods whose billing day the subscription
has seen are billed: one that is made today with a start in May has its earlier months in no invoice.

Lago's clock gives the work to a worker. While that has a backlog (events that came before, or it is paused) nothing
of it happens; then it is done as of the time at which it was due, from the events that have come by then.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from reconciler.sandbox.billing.invoicing import Closing, finalize, make_invoice, reckon
from reconciler.sandbox.call import Call, Lago
from reconciler.sandbox.grammar import SECOND
from reconciler.sandbox.resources.catalog import INVOICE, SUBSCRIPTION
from reconciler.sandbox.resources.drafts import DRAFT
from reconciler.sandbox.resources.subscriptions import following_of, keep, schedule_of, terminate
from reconciler.sandbox.schedule.agenda import Job
from reconciler.sandbox.schedule.periods import Period, Schedule, after_bill, lived
from reconciler.sandbox.stores.store import Thing

_MINUTE = 60 * SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def catch_up(lago: Lago) -> None:
    """Do all that Lago's clock and worker would have done by now, in order; nothing while they are paused."""
    if lago.agenda.paused:
        return
    _refresh(lago)
    while (jobs := lago.agenda.due(lago.now())) and lago.worker.done_at(jobs[0].at) <= lago.now():
        _run(lago, jobs, jobs[0].at)
        _refresh(lago)


def hold(lago: Lago) -> None:
    """Let all wait that becomes due from now on: Lago's worker has a backlog."""
    catch_up(lago)
    lago.agenda.pause()


def let_go(lago: Lago) -> None:
    """Do what is due by now, what has waited first, and from now on what becomes due at its time."""
    lago.agenda.resume(lago.now())


def run_now(lago: Lago) -> list[str]:
    """Do at once what could be done by now, without waiting for the minutes past the hour.

    Returns:
        The `lago_id` of each invoice that was made, computed anew or made final.
    """
    touched: list[str] = []
    now = lago.now()
    _refresh(lago)
    while jobs := lago.agenda.ready(now):
        first = [job for job in jobs if job.ready == jobs[0].ready]
        touched += _run(lago, first, max(first[0].ready, min(first[0].at, now)))
        _refresh(lago)
    return touched


def _refresh(lago: Lago) -> None:
    def everything() -> Iterable[tuple[str, str]]:
        for organization in lago.organizations.values():
            for kind in (SUBSCRIPTION, INVOICE):
                for thing in lago.store.things(organization, kind):
                    yield organization, thing["lago_id"]

    lago.agenda.refresh(everything, lambda organization, lago_id: _job(_account(lago, organization), lago_id))


def _account(lago: Lago, organization: str) -> Call:
    return Call(lago, organization, {}, {}, {})


# -- when


def _job(call: Call, lago_id: str) -> Job | None:
    """Return the next job of a subscription or an invoice, None if it has none."""
    thing = call.store.thing(lago_id)
    if "fees" in thing:
        return min(_of_draft(call, thing), key=lambda job: job.at) if thing["status"] == DRAFT else None
    schedule = schedule_of(call.store, call.organization, thing)
    match thing["status"]:
        case "pending" if not thing["previous_id"]:
            ready = max(schedule.midnight(schedule.day(thing["subscription_at"])), thing["created_at"])
            return Job("activate", call.organization, lago_id, ready, _five_minutes(ready))
        case "active":
            return min(_ends(call, thing, schedule), key=lambda job: job.at)
        case "terminated" if _has_last_bill(call, thing) and not _is_billed_to_the_end(thing):
            return Job("bill_last", call.organization, lago_id, thing["terminated_at"], thing["terminated_at"])
        case _:
            return None


def _ends(call: Call, subscription: Thing, schedule: Schedule) -> Iterable[Job]:
    """Yield when an active subscription's next period is billed, and when it ends itself."""
    ending_day = None if subscription["ending_at"] is None else schedule.day(subscription["ending_at"])
    whole, at = _next_period(subscription, schedule, ending_day)
    following = following_of(call.store, call.organization, subscription)
    kind = "rotate" if following and following["status"] == "pending" else "bill"
    yield Job(kind, call.organization, subscription["lago_id"], whole.end + 1, at)
    if ending_day:
        ready = schedule.midnight(ending_day)
        yield Job("end", call.organization, subscription["lago_id"], ready, _minutes_past(ready, 5))


def _next_period(subscription: Thing, schedule: Schedule, ending_day: date | None) -> tuple[Period, int]:
    """Return the first period that is still to be billed, and when.

    A period is billed on the day after it by whichever hourly run first sees the subscription. The day on
    which it ends itself is no billing day.
    """
    whole = after_bill(schedule, subscription)
    while True:
        ready = whole.end + 1
        at = _minutes_past(max(ready, subscription["created_at"]), 10)
        if schedule.day(at) == schedule.day(ready) != ending_day:
            return whole, at
        whole = schedule.holding(ready)


def _of_draft(call: Call, invoice: Thing) -> Iterable[Job]:
    """Yield when a draft becomes final, and when it is computed anew before that."""
    schedule = Schedule("monthly", None, ZoneInfo(invoice["timezone"]))
    ready = schedule.midnight(date.fromisoformat(invoice["issuing_date"]))
    yield Job("finalize", call.organization, invoice["lago_id"], ready, _minutes_past(ready, 20))
    if (outdated := invoice["outdated_at"]) is not None:
        yield Job("refresh", call.organization, invoice["lago_id"], outdated, _five_minutes(outdated))


def _five_minutes(instant: int) -> int:
    """Return the first time at or after an instant at which the five-minute jobs run."""
    return -(-instant // (5 * _MINUTE)) * 5 * _MINUTE


def _minutes_past(instant: int, minutes: int) -> int:
    """Return the first such minute of an hour at or after an instant."""
    offset = minutes * _MINUTE
    return -(-(instant - offset) // _HOUR) * _HOUR + offset


def _has_last_bill(call: Call, subscription: Thing) -> bool:
    """Tell whether an end is billed: one by a change of plan always, another unless it was told to be skipped."""
    replaced = following_of(call.store, call.organization, subscription) is not None
    return replaced or subscription["on_termination_invoice"] == "generate"


def _is_billed_to_the_end(subscription: Thing) -> bool:
    billed_until = subscription["billed_until"]
    return billed_until is not None and billed_until >= subscription["terminated_at"]


# -- what


def _run(lago: Lago, jobs: Iterable[Job], at: int) -> list[str]:
    """Run jobs of one instant; return the invoices that they made or made final."""
    touched = []
    worked_at = max(lago.agenda.worked_at(at, lago.now()), min(lago.worker.done_at(at), lago.now()))
    closings: dict[tuple[str, str, str], list[Closing]] = defaultdict(list)
    for job in jobs:
        call = _account(lago, job.organization)
        thing = lago.store.thing(job.lago_id)
        match job.kind:
            case "activate":
                keep(call, thing | {"status": "active", "started_at": at})
            case "end":
                terminate(call, thing, at)
            case "finalize":
                touched.append(finalize(call, thing, at)["lago_id"])
            case "refresh":
                touched.append(reckon(call, thing, worked_at)["lago_id"])
            case "bill_last":
                touched.append(make_invoice(call, [_last_closing(call, thing)], at, worked_at)["lago_id"])
            case _:
                closing = _close(call, thing, rotate=job.kind == "rotate", at=at)
                currency = lago.store.thing(thing["plan_id"])["amount_currency"]
                closings[job.organization, thing["lago_customer_id"], currency].append(closing)
    for (organization, *_), together in closings.items():
        touched.append(make_invoice(_account(lago, organization), together, at, worked_at)["lago_id"])
    return touched


def _close(call: Call, subscription: Thing, *, rotate: bool, at: int) -> Closing:
    """Note that a subscription's next period is billed; with a cheaper plan waiting, change to it.

    The change is at the instant of billing, so what happens in the ten minutes before is in neither plan.
    """
    schedule = schedule_of(call.store, call.organization, subscription)
    ending_day = None if subscription["ending_at"] is None else schedule.day(subscription["ending_at"])
    whole, _ = _next_period(subscription, schedule, ending_day)
    period = lived(whole, subscription)
    following = following_of(call.store, call.organization, subscription) if rotate else None
    changed: dict[str, Any] = {"billed_until": whole.end}
    if following:
        changed |= {"status": "terminated", "terminated_at": at, "billed_until": at}
        keep(call, following | {"status": "active", "started_at": at})
    kept = keep(call, subscription | changed)
    return Closing(kept, whole, period, "subscription_terminating" if following else "subscription_periodic")


def _last_closing(call: Call, subscription: Thing) -> Closing:
    """Note that a terminated subscription is billed to its end.

    Ended within a day of a period that has not been billed yet, it is billed for that one, and for nothing after.
    """
    schedule = schedule_of(call.store, call.organization, subscription)
    started_at, ended = subscription["started_at"], subscription["terminated_at"]
    whole = schedule.holding(max(ended, started_at))
    before = schedule.holding(whole.start - 1)
    unbilled = (subscription["billed_until"] or 0) < before.end and started_at <= before.end
    if unbilled and ended - before.end < _DAY <= ended - started_at:
        whole = before
    period = lived(whole, subscription)
    kept = keep(call, subscription | {"billed_until": ended})
    return Closing(kept, whole, period, "subscription_terminating")
