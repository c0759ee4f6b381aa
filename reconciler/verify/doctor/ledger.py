"""The ledger: whether passes can keep their books there, for these meters, and how they have gone. Pure."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from reconciler.model.words import count, length, minute
from reconciler.verify.doctor.check import Check, Mark, Untold
from reconciler.verify.doctor.ledger_facts import Compared, LedgerFacts, OfMeter, Rights
from reconciler.verify.doctor.source_facts import Server

APART = timedelta(minutes=5)
"""Passes that are further apart may miss an invoice of Lago's (README: run them at least so often)."""

STANDSTILL = timedelta(hours=1)
"""A pause of so long within the last day needs a look."""

AT_WORK = timedelta(hours=2)
"""A ledger with a pass so lately is in use."""


def mapping_checks(facts: LedgerFacts, *, has_mapping: bool) -> Iterator[Check]:
    """Whether the operator's lists of subscriptions are sound."""
    if not has_mapping:
        yield Check("mapping", Mark.GOOD, "There is none: each customer's subscription follows from its name.")
    for meter, found in facts.mapping.items():
        if found is None:
            yield Check("mapping", Mark.GOOD, "It can be read, and gives each customer one subscription.", meter=meter)
        else:
            yield Check("mapping", Mark.BAD, found.why, meter=meter)


def ledger_checks(facts: LedgerFacts) -> Iterator[Check]:
    """All that can be said of the ledger; what can't be asked is left out."""
    yield reachable(facts)
    if isinstance(facts.server, Untold):
        return
    if not isinstance(facts.owner, Untold):
        yield schema(facts.version, facts.head, facts.rights)
    yield rights(facts.rights, facts.owner, facts.version)
    yield another_ledger(facts)
    for name, meter in (facts.meters or {}).items():
        yield from of_meter(name, meter, facts.server.now)


def reachable(facts: LedgerFacts) -> Check:
    """Whether we are let in, to write."""
    if isinstance(facts.server, Untold):
        return Check("ledger", Mark.BAD, facts.server.why)
    if facts.server.is_replica or facts.server.is_read_only:
        return Check(
            "ledger",
            Mark.BAD,
            f"{facts.where} is {'a replica' if facts.server.is_replica else 'read-only'}, and takes no writes.",
            "Name its primary.",
        )
    beside = "beside the spend table" if facts.is_beside else "in a database of its own"
    return Check("ledger", Mark.GOOD, f"{facts.where}, {beside}, as role {facts.server.role!r}.")


def schema(version: str | Untold | None, head: str, found: Rights | Untold | None) -> Check:
    """Whether it is of this program's version."""
    if isinstance(version, Untold):
        return Check("schema", Mark.BAD, version.why)
    if version is None:
        return Check("schema", Mark.GOOD, f"None yet; the first pass makes it (version {head}).")
    if version == head:
        return Check("schema", Mark.GOOD, f"Version {version}, as this program has it.")
    if version > head:
        return Check(
            "schema",
            Mark.BAD,
            f"Version {version} is newer than this program's {head}.",
            "Install the reconciler that has upgraded it, or a newer one.",
        )
    may = isinstance(found, Rights) and found.may_make
    return Check(
        "schema",
        Mark.LOOK if may else Mark.BAD,
        f"Version {version}; this program has {head}.",
        "The next pass upgrades it; or run `reconcile ledger upgrade`."
        if may
        else f"Let its owner run `reconcile ledger upgrade`, or a DBA what `--sql --from {version}` prints.",
    )


def rights(found: Rights | Untold | None, owner: Untold | None, version: str | Untold | None) -> Check:
    """Whether the role may make it or write it, and nobody else may change it."""
    if isinstance(owner, Untold):
        return Check("rights", Mark.BAD, owner.why)
    if found is None or isinstance(found, Untold):
        return Check("rights", Mark.BAD, found.why if found else "They can't be told.")
    if not found.may_compare:
        return Check(
            "rights",
            Mark.BAD,
            "The role may not make temporary tables, in which a pass compares.",
            "Run sql/grants/grant_ledger.sql, or GRANT TEMPORARY ON DATABASE … TO the role.",
        )
    if version is None and not found.may_make:
        return Check(
            "rights",
            Mark.BAD,
            "There is no ledger yet, and the role may not make one.",
            "Run sql/grants/grant_ledger.sql; or let a DBA make the tables, and run grant_ledger_tables.sql.",
        )
    if found.lacking:
        return Check(
            "rights",
            Mark.BAD,
            f"The role lacks {', '.join(found.lacking[:5])}{' and more' if len(found.lacking) > 5 else ''}.",
            "Let who owns the tables run sql/grants/grant_ledger_tables.sql.",
        )
    return Check("rights", Mark.GOOD, "The role may do all that passes do there.")


def another_ledger(facts: LedgerFacts) -> Check:
    """Whether another one may be at work on the same rows."""
    other = facts.other
    if facts.is_beside:
        return Check("another ledger", Mark.GOOD, "It is beside the spend table, where another one would be.")
    if other is None:
        return Check("another ledger", Mark.GOOD, "None is in the source's database.")
    if isinstance(other, Untold):
        return Check("another ledger", Mark.LOOK, f"Whether one is in the source's database can't be told: {other.why}")
    named = f" of {', '.join(map(repr, sorted(other.meters)[:3]))}" if other.meters else ""
    server = facts.server
    if other.last_at and isinstance(server, Server) and server.now - other.last_at < AT_WORK:
        return Check(
            "another ledger",
            Mark.BAD,
            f"One{named} is in the source's database, and a pass ran there at {minute(other.last_at)}: two bill the "
            "same rows.",
            "Let all passes have the same RECONCILE_LEDGER_URL; one ledger is to be given up.",
        )
    when = f", last used at {minute(other.last_at)}" if other.last_at else ""
    return Check(
        "another ledger",
        Mark.LOOK,
        f"One{named} is in the source's database, too{when}.",
        "If it is the right one, unset RECONCILE_LEDGER_URL. If it was given up, drop its schema when nobody needs it.",
    )


def of_meter(name: str, found: OfMeter | Untold, now: datetime) -> Iterator[Check]:
    """How a meter stands in the ledger."""
    if isinstance(found, Untold):
        yield Check("meter", Mark.BAD, found.why, meter=name)
        return
    if found.compared is not None:
        yield meter(name, found.compared, is_known=found.is_known)
        yield twins(name, found.compared.twins, is_known=found.is_known)
    yield from passes(name, found, now)
    yield alarms(name, found)


def meter(name: str, found: Compared, *, is_known: bool) -> Check:
    """Whether a pass would take the settings."""
    if found.changed:
        return Check("meter", Mark.BAD, found.changed, meter=name)
    says = "The settings are those that it was billed with." if is_known else "It is new to the ledger."
    return Check("meter", Mark.GOOD, says, meter=name)


def twins(name: str, found: Collection[str], *, is_known: bool) -> Check:
    """Whether another meter bills the same; two bills that were declared may be meant."""
    if not found:
        says = "No other meter of this ledger bills the same rows under its code."
        return Check("twins", Mark.GOOD, says, meter=name)
    return Check(
        "twins",
        Mark.LOOK if is_known else Mark.BAD,
        f"Meter {', '.join(map(repr, sorted(found)[:3]))} bills the same rows under the same code to one organization: "
        "Lago counts them twice.",
        "Give one of them another LAGO_API_EVENT_CODE, or stop it. If two bills are meant, all is well.",
        name,
    )


def passes(name: str, found: OfMeter, now: datetime) -> Iterator[Check]:
    """Whether cron or a service runs passes, and they work."""
    runs = found.runs
    for trouble in found.troubles:
        yield Check("passes", Mark.BAD, trouble, meter=name)
    if found.troubles:
        return
    if runs is None or runs.last_at is None:
        yield Check(
            "passes",
            Mark.LOOK,
            "None has run yet, so nothing is billed.",
            "See what one would do with `reconcile --dry-run`; then run them by cron or `reconcile serve`.",
            name,
        )
        return
    often = f", about every {length(runs.usually)}" if runs.usually else ""
    last = f"the last one {length(now - runs.last_at)} ago ({runs.outcome or 'at work'})"
    says = f"{count(runs.number, 'pass', 'passes')} in the last day{often}, {last}."
    if runs.outcome and runs.outcome.startswith("failed"):
        yield Check("passes", Mark.BAD, says, meter=name)
    elif now - runs.last_at > 3 * APART or (runs.usually and runs.usually > APART + timedelta(seconds=30)):
        yield Check(
            "passes",
            Mark.LOOK,
            says,
            "Run them at least every five minutes, by cron or `reconcile serve`: Lago's invoices do not wait.",
            name,
        )
    elif runs.longest and runs.longest > STANDSTILL:
        cure = "See whether the machine, cron or the service stood still."
        yield Check("passes", Mark.LOOK, f"{says} Once none began for {length(runs.longest)}.", cure, name)
    else:
        yield Check("passes", Mark.GOOD, says, meter=name)


def alarms(name: str, found: OfMeter) -> Check:
    """Whether some stand."""
    if not found.alarms:
        return Check("alarms", Mark.GOOD, "None stands that nobody has acknowledged.", meter=name)
    says = f"{count(len(found.alarms), 'alarm')} ({', '.join(found.alarms)})."
    return Check("alarms", Mark.LOOK, says, "`reconcile alarm list` says what to do about each.", name)
