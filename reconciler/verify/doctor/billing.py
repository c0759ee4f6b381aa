"""Whether Lago would bill the usage, and nobody else bills it, too. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.delivery.billable.metric import countable, counted, metric_fault
from reconciler.model.words import count, minute
from reconciler.report.unbillable import Outlook, Unbillable
from reconciler.settings.meter import MeterSettings
from reconciler.verify.doctor.check import Check, Mark, Untold
from reconciler.verify.doctor.lago import Arrived, Foreign, LagoFacts
from reconciler.verify.producers import CALLBACK, CURES, LEDGER

METRIC = frozenset({"no metric", "metric"})
PLANS = frozenset({"no charge", "no price", "free", "no cents", "not counted", "currency", "exchanged", "next plan"})
ZONES = frozenset({"time zone"})


_AMONG = " among the newest ones"


def billing_checks(facts: LagoFacts, meters: Sequence[MeterSettings], *, window_fits: bool) -> Iterator[Check]:
    """All that can be said of what Lago bills; what can't be asked is left out.

    Args:
        facts: what was seen.
        meters: the settings' meters.
        window_fits: whether their windows keep to every time zone's midnights.
    """
    for meter in meters:
        if meter.name in facts.metrics:
            yield metric(meter, facts.metrics[meter.name])
    if facts.outlook is not None:
        yield from usage(facts.outlook, window_fits=window_fits)
    for name, arrived in facts.arrived.items():
        yield from foreign(name, arrived)


def metric(meter: MeterSettings, found: Mapping[str, Any] | Untold | None) -> Check:
    """Whether the code has a metric that counts our events."""
    code = meter.event_code
    if isinstance(found, Untold):
        return Check("metric", Mark.LOOK, found.why, meter=meter.name)
    if found is None:
        cure = "Mend LAGO_API_EVENT_CODE, or make the metric: `reconcile setup`."
        says = f"Lago has none with the code {code!r}, so nothing can be sent."
        return Check("metric", Mark.BAD, says, cure, meter.name)
    if fault := metric_fault(found, countable(meter)):
        cure = "Mend it in Lago, or make another and name it by LAGO_API_EVENT_CODE."
        return Check("metric", Mark.BAD, f"{code!r} {fault}.", cure, meter.name)
    what = counted(found)
    says = f"{code!r}, {f'the sum of {what}' if what else 'whose property Lago computes by an expression'}."
    return Check("metric", Mark.GOOD, says, meter=meter.name)


def usage(found: Outlook | Untold, *, window_fits: bool) -> Iterator[Check]:
    """Whether Lago would bill what was used in the last day."""
    if isinstance(found, Untold):
        for name in ("subscriptions", "plans", "time zones"):
            yield Check(name, Mark.LOOK, f"The usage of the last day can't be followed: {found.why}")
        return
    seen: set[str] = set()
    for each in found.unbillable:
        if (kind := _name(each)) is not None:
            seen.add(kind)
            yield _unbillable(kind, each)
    if found.unknown:
        whose = count(found.unknown, "name")
        says = f"Of {whose} Lago, or a gateway before it, does not tell."
        yield Check("subscriptions", Mark.LOOK, says, "Ask for them in Lago by hand.")
        for name in ("plans", "time zones"):
            yield Check(name, Mark.LOOK, f"Of {whose} they are not known.")
        seen |= {"subscriptions", "plans", "time zones"}
    for unknown in found.untold:
        seen |= {unknown.about} if unknown.about != "subscriptions" else {"subscriptions", "plans", "time zones"}
        yield Check(unknown.about, Mark.LOOK, unknown.says)
    if any(each.kind in METRIC for each in found.unbillable):
        return
    if "subscriptions" not in seen:
        yield Check("subscriptions", Mark.GOOD, "The usage of the last day lies in subscriptions that Lago bills.")
    if "plans" not in seen:
        yield Check("plans", Mark.GOOD, "Their plans price all of it, in USD.")
    if "time zones" not in seen:
        says = (
            "Windows keep to every midnight on Earth." if window_fits else "Windows keep to these customers' midnights."
        )
        yield Check("time zones", Mark.GOOD, says)


def _name(each: Unbillable) -> str | None:
    """The check that a reason belongs to; the metric's own check tells of the metric."""
    if each.kind in METRIC:
        return None
    return "plans" if each.kind in PLANS else "time zones" if each.kind in ZONES else "subscriptions"


def _unbillable(name: str, each: Unbillable) -> Check:
    mark = Mark.GOOD if each.is_on_purpose else Mark.LOOK
    return Check(name, mark, each.finding, "" if each.is_on_purpose else each.cure, each.meter)


def foreign(meter: str, found: Arrived | Untold) -> Iterator[Check]:
    """Whether somebody else sends events of the code."""
    if isinstance(found, Untold):
        for name in ("callback", "other events"):
            yield Check(name, Mark.LOOK, f"What arrives in Lago can't be told: {found.why}", meter=meter)
        return
    among = "" if found.is_whole else _AMONG
    callback = [each for each in found.foreign if each.who == CALLBACK]
    others = [each for each in found.foreign if each.who != CALLBACK]
    if callback:
        yield _callback(meter, callback, "" if found.is_whole_between else _AMONG)
    else:
        where = "" if found.is_whole_between else _AMONG
        says = f"No event of it that this ledger does not know, in the last three hours{where}."
        yield Check("callback", Mark.GOOD, says, meter=meter)
    if not found.is_compared:
        return
    bad = [each for each in others if each.is_twice or each.who == LEDGER]
    for each in bad:
        twice = (
            "for the same subscriptions and windows: usage is billed twice" if each.is_twice else "unknown to this one"
        )
        says = f"{count(each.events, 'event')} of {each.who}, {twice}{_last(each)}."
        yield Check("other events", Mark.BAD, says, _sentence(CURES[each.who]), meter)
    if not bad:
        some = sum(each.events for each in others)
        where = f"{count(some, 'event')} of others, where this meter bills nothing" if some else "None"
        yield Check("other events", Mark.GOOD, f"{where}{among}.", meter=meter)


def _callback(meter: str, found: Sequence[Foreign], among: str) -> Check:
    """Its events: beside ours they bill twice; where nothing was billed yet it may be off since."""
    number, is_twice = sum(each.events for each in found), any(each.is_twice for each in found)
    last = max(found, key=lambda each: each.last_at)
    means = (
        "for the same subscriptions and windows as ours: usage is billed twice"
        if is_twice
        else "where this meter is not known to bill"
    )
    return Check(
        "callback",
        Mark.BAD if is_twice else Mark.LOOK,
        f"{count(number, 'event')} of LiteLLM's callback in the last three hours{among}, {means}{_last(last)}.",
        "Take `lago` out of the proxy's litellm_settings and restart it, unless that was done since; then "
        "`reconcile cutover` takes over what it has billed.",
        meter,
    )


def _last(each: Foreign) -> str:
    return f"; the last at {minute(each.last_at)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
