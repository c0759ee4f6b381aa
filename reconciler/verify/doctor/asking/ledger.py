"""Looks at the ledger for the doctor, whatever its version, or where it is yet to be; nothing is written."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial

from psycopg.rows import class_row
from sqlalchemy import Connection, func, select

from reconciler.capture.mapping import read_mapping
from reconciler.capture.source import TABLES, Relation, Sight, Source
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import execute
from reconciler.ledger import alarms, changes, meters, schema, tables, twins
from reconciler.ledger.meters import Meter
from reconciler.ledger.passes import Patience
from reconciler.ledger.passes import passes as passes_of
from reconciler.ledger.store import Ledger
from reconciler.model.terms import BEGINNING, Timeline
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.settings.values import MappingFile
from reconciler.verify.doctor.asking.source import server_of
from reconciler.verify.doctor.check import Untold, told
from reconciler.verify.doctor.ledger_facts import Compared, LedgerFacts, OfMeter, Other, Rights, Runs
from reconciler.verify.doctor.source_facts import Server


class AskLedger:
    """Gathers the facts of one ledger."""

    def __init__(self, settings: Settings, ledger: Ledger, source: Source) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._ledger = ledger
        self._source = source

    def facts(self, sight: Sight | None) -> LedgerFacts:
        """All that can be told; what fails is told as such, and what depends on it is not asked.

        Args:
            sight: the source, None if it can't be read: then no meter can be compared with it.
        """
        where = self._settings.ledger
        server = told(self._server)
        facts = LedgerFacts(
            f"{where.variable} ({where.display})",
            server,
            dict(self._mappings(is_reachable=not isinstance(server, Untold))),
            schema.HEAD,
            is_beside=self._settings.one_database,
        )
        if isinstance(server, Untold):
            return facts
        facts = replace(
            facts,
            owner=told(self._check_owners),
            rights=told(self._rights),
            other=None if self._settings.one_database or sight is None else told(self._other),
        )
        if facts.owner is not None:  # what others own is not read: it may run their code
            return facts
        facts = replace(facts, version=told(self._version))
        may_read = isinstance(facts.rights, Rights) and not facts.rights.lacking
        if facts.version not in {None, schema.HEAD} or (facts.version and not may_read):
            return facts
        of_meter = partial(self._of_meter, sight, is_made=facts.version is not None)
        return replace(facts, meters={meter.name: told(partial(of_meter, meter)) for meter in self._settings.meters})

    def _server(self) -> Server:
        with self._ledger.transaction() as connection:
            return server_of(connection)

    def _mappings(self, *, is_reachable: bool) -> Iterator[tuple[str, Untold | None]]:
        for meter in self._settings.meters:
            if isinstance(meter.mapping, MappingFile):
                found = told(partial(read_mapping, meter.mapping.path))
                yield meter.name, found if isinstance(found, Untold) else None
            elif meter.mapping is not None and is_reachable:
                yield meter.name, told(partial(self._check_mapping, meter))

    def _check_mapping(self, meter: MeterSettings) -> None:
        with self._ledger.transaction() as connection:
            Subscriptions(meter).check(connection)

    def _version(self) -> str | None:
        with self._ledger.transaction() as connection:
            return schema.version(connection)

    def _check_owners(self) -> None:
        with self._ledger.transaction() as connection:
            schema.check_owners(connection, self._settings.source.schema)

    def _rights(self) -> Rights:
        names = {"names": [table.name for table in tables.metadata.sorted_tables]}
        [found] = self._ledger.once("doctor/rights", names, class_row(Rights))
        rights: Rights = found
        return rights

    def _other(self) -> Other | None:
        """A ledger in the source's database."""
        with self._source.transaction() as connection:
            if schema.version(connection) is None:
                return None
            for name in ("meter", "run"):
                there = {"schema": tables.SCHEMA, "name": name}
                found = execute(connection, "capture/relation", there, class_row(Relation)).fetchone()
                if found is None or found.kind not in TABLES:  # somebody's view would run its owner's code
                    return Other(frozenset(), None)
            names = set(connection.scalars(select(tables.meter.c.name)))
            last: datetime | None = connection.scalar(select(func.max(tables.run.c.started_at)))
        return Other(names, last)

    def _of_meter(self, sight: Sight | None, wanted: MeterSettings, *, is_made: bool) -> OfMeter:
        if not is_made:
            return OfMeter(is_known=False, compared=Compared(None, frozenset()))
        with self._ledger.transaction() as connection:
            meter = meters.load(connection, wanted.name)
            compared = None if sight is None else self._compared(connection, meter, wanted, sight)
            if meter is None:
                return OfMeter(is_known=False, compared=compared)
            return OfMeter(
                is_known=True,
                compared=compared,
                troubles=tuple(passes_of(connection, wanted.name).troubles(Patience.of(self._settings))),
                runs=_runs(connection, wanted.name),
                alarms=[row.kind for row in alarms.list_standing(connection, wanted.name) if not row.acknowledged_at],
                watermark=meter.watermark,
                purge_mark=meter.purge_mark,
                organization=meter.organization,
            )

    def _compared(self, connection: Connection, meter: Meter | None, wanted: MeterSettings, sight: Sight) -> Compared:
        """How the meter's settings, and where they read, compare with what the ledger knows."""
        as_wanted = self._as_wanted(wanted, sight, meter)
        return Compared(
            changed=_changed(connection, meter, as_wanted) if meter else None,
            twins=twins.of(connection, wanted.name) | twins.if_it_were(connection, as_wanted),
        )

    def _as_wanted(self, wanted: MeterSettings, sight: Sight, meter: Meter | None) -> Meter:
        """The meter as the settings would have it."""
        return Meter(
            name=wanted.name,
            start=meter.start if meter else sight.now,
            start_chosen=False,
            watermark=sight.now,
            purge_mark=None,
            source=asdict(sight.place),
            lago=self._settings.lago_api_base,
            organization=meter.organization if meter else None,
            timeline=Timeline([(BEGINNING, wanted.terms)]),
        )


def _changed(connection: Connection, meter: Meter, wanted: Meter) -> str | None:
    """Why a pass would refuse the settings; None if it takes them, as it does while nothing was billed."""
    found = changes.changes(meter, wanted.timeline.latest, source=wanted.source, lago=wanted.lago)
    if not found or not changes.has_events(connection, meter.name):
        return None
    return changes.refusal(meter.name, found)


def _runs(connection: Connection, meter: str) -> Runs:
    found: Runs | None = execute(connection, "doctor/runs", {"meter": meter}, class_row(Runs)).fetchone()
    assert found is not None
    return replace(found, last_at=found.last_at.astimezone(UTC) if found.last_at else None)
