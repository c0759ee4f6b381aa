"""What settings change of a meter: refused, declared, or taken without ado while nothing is billed. Invariant 10."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, select, update

from reconciler.database.postgres import execute
from reconciler.lago.organization import Organization
from reconciler.ledger import meters, tables
from reconciler.ledger.meters import Meter
from reconciler.model.errors import LagoError, MeterChangedError
from reconciler.model.terms import BEGINNING, Terms


class Places(TypedDict):
    """Where the settings read and send."""

    source: dict[str, str]
    lago: str


@dataclass(frozen=True)
class Changes:
    """How the settings differ from what a meter is; false if they don't.

    Attributes:
        terms: what it bills, one phrase a setting.
        moved: where it reads and sends, one phrase each.
    """

    terms: list[str]
    moved: list[str]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.terms or self.moved)


def changes(meter: Meter, terms: Terms, *, source: dict[str, str], lago: str) -> Changes:
    """How these settings differ from what a meter is."""
    return Changes(meter.timeline.latest.differences(terms), _moved(meter, source, lago))


def refuse_moved(meter: Meter, *, source: dict[str, str], lago: str | None = None) -> None:
    """See that the settings read where a meter does, and send where it does unless `lago` is None.

    Raises:
        MeterChangedError: they don't, so that nothing can be compared.
    """
    if moved := _moved(meter, source, meter.lago if lago is None else lago):
        raise MeterChangedError(
            f"Meter {meter.name!r} was billed with other settings: {'; '.join(moved)}. So nothing can be compared, and "
            "nothing was done. Run this with that meter's settings; `reconcile` says the other choices."
        )


def refuse_another_organization(meter: Meter, told: Organization | None) -> None:
    """See that Lago's API key is of the organization that a meter sends to, as far as Lago tells.

    Raises:
        LagoError: it is another's.
    """
    if told and meter.organization not in {None, told.id}:
        raise LagoError(
            f"Meter {meter.name!r} has sent to Lago's organization {meter.organization}, and LAGO_API_KEY is a key "
            f"of {told.id}. Set the old key back, or run `reconcile --adopt` once if it has moved."
        )


def _moved(meter: Meter, source: dict[str, str], lago: str) -> list[str]:
    moved = [
        f"the source's {part.replace('_', ' ')} was {meter.source.get(part)}, now {source[part]}"
        for part in source
        if meter.source.get(part) != source[part]
    ]
    return [*moved, f"LAGO_API_BASE was {meter.lago}, now {lago}"] if meter.lago != lago else moved


def refusal(name: str, found: Changes) -> str:
    """The sentence that refuses changed settings, with the choices."""
    choices = ["set it back"]
    if found.moved:
        choices.append(f"if another proxy or another Lago is meant, give it its own RECONCILE_METER (not {name!r})")
        choices.append("if the same database or the same Lago has moved, run `reconcile --adopt` once")
    else:
        choices.append("to bill so from the next window on, run `reconcile --adopt` once")
        choices.append(f"to bill both ways, give the second its own RECONCILE_METER (not {name!r}) and event code")
    return (
        f"Meter {name!r} was billed with other settings: {'; '.join(found.terms + found.moved)}. Nothing was done. "
        f"Choose: {'; '.join(choices)}."
    )


def adopt(
    connection: Connection,
    meter: Meter,
    terms: Terms,
    found: Changes,
    *,
    source: dict[str, str],
    lago: str,
    now: datetime,
) -> list[str]:
    """Take changed settings as declared: terms from a window boundary on, places from now on.

    Args:
        connection: the ledger's transaction, which holds the meter's turn.
        meter: as the ledger knows it.
        terms: what the settings ask for.
        found: how they differ.
        source: where the settings read.
        lago: where the settings send.
        now: the source's clock.

    Returns:
        What was adopted, one sentence each.
    """
    adopted = []
    if found.terms:
        boundary = meter.timeline.next_boundary(terms, max(now, meter.watermark))
        meters.agree(connection, meter.name, terms, boundary)
        adopted.append(f"From {boundary:%Y-%m-%d %H:%M} UTC on: {'; '.join(found.terms)}.")
    if found.moved:
        same_lago = lago == meter.lago
        places = {"source": source, "lago": lago, "organization": meter.organization if same_lago else None}
        connection.execute(update(tables.meter).where(tables.meter.c.name == meter.name).values(places))
        if not same_lago:
            meters.forget_metrics(connection, meter.name)
        adopted.append(f"From now on: {'; '.join(found.moved)}.")
    return adopted


def has_events(connection: Connection, name: str) -> bool:
    """Whether anything was ever planned for a meter, whatever has become of it, or taken over."""
    return any(
        connection.scalar(select(table.c.meter).where(table.c.meter == name).limit(1)) is not None
        for table in (tables.event, tables.takeover)
    )


def start_over(
    connection: Connection, name: str, terms: Terms, *, source: dict[str, str], lago: str, first_row: datetime
) -> None:
    """Make a meter that has no event what it would be, had it been made with these settings.

    Args:
        connection: the ledger's transaction, which holds the meter's turn.
        name: the meter.
        terms: by which it bills.
        source: where it reads.
        lago: where it sends.
        first_row: before that moment the source has nothing to look at.
    """
    values = {
        "meter": name,
        "length": terms.window,
        "source": Jsonb(source),
        "lago": lago,
        "first_row": first_row,
    }
    if execute(connection, "ledger/start_over", values).fetchall():
        meters.agree(connection, name, terms, BEGINNING)
