"""One meter's events come into the ledger, in one transaction: all that a pass needs to go on, or nothing."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import starmap

from sqlalchemy import Connection, func, update

from reconciler.capture.bring import Bringer
from reconciler.capture.source import Sight, Source
from reconciler.database.postgres import execute
from reconciler.ledger import changes, meters, tables, twins
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model import windows
from reconciler.model.durations import format_duration
from reconciler.model.errors import NoTurnError
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.rebuild.found import Found, Part
from reconciler.verify.rebuild.staged import Staged
from reconciler.verify.rebuild.terms import Billed, agreements

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Taking:
    """Takes one meter's events into the ledger.

    Attributes:
        settings: what the operator said.
        wanted: the meter, as the settings describe it.
        source: the spend table.
        sight: what it looks like.
        ledger: where the events go; a dry one for a look.
    """

    settings: Settings
    wanted: MeterSettings
    source: Source
    sight: Sight
    ledger: Ledger

    def run(self, staged: Staged, found: Found) -> Meter:
        """Take them in; note in `found` what becomes of each.

        The meter's start and watermark are such that the next pass looks at all windows from `found.since` on.

        Returns:
            The meter as it is then.

        Raises:
            MeterChangedError: the settings are of another source or Lago, or of a meter that another bills already;
                or nobody can tell by which terms it was billed.
            NoTurnError: a pass is at work.
        """
        name, limits = self.wanted.name, self.settings.limits
        with self.ledger.transaction(planning=True, making=True) as connection:
            known = meters.load(connection, name)
            found.is_new = known is None
            if known is not None:
                changes.refuse_moved(known, source=asdict(self.sight.place), lago=self.settings.lago_api_base)
                meters.take_turn(connection, name, seconds=limits.turn)
                [(is_sending,)] = execute(connection, "rebuild/senders", {"meter": name})
                if is_sending:
                    raise NoTurnError(
                        f"a pass of meter {name!r} is sending, or was killed of late: try again in a minute"
                    )
            staged.copy_to(connection)
            self._agree(connection, known, found)
            for day in execute(connection, "rebuild/days").fetchall():
                self._take_in(connection, day[0], found)
            execute(connection, "rebuild/let_go", {"meter": name})
            staged.take_from(connection)
            self._see_retention(connection)
            meter = meters.load(connection, name)
        assert meter is not None
        return meter

    def _agree(self, connection: Connection, known: Meter | None, found: Found) -> None:
        """Make the meter, or let it begin earlier; and let it have the terms by which it has billed."""
        name = self.wanted.name
        billed = starmap(_billed, execute(connection, "rebuild/billed"))
        agreed = agreements(known.timeline if known else None, billed, self.wanted.terms)
        oldest = self.source.oldest_row(found.since)
        settled = self.sight.now - self.settings.settle
        look_from = max(found.since, min(oldest or settled, settled))
        if not self.ledger.is_dry:
            twins.one_at_a_time(connection)
        with twins.no_new_one(connection, name, twins.EARLIER if known else twins.NEW, since=found.since):
            if known is None:
                places: changes.Places = {"source": asdict(self.sight.place), "lago": self.settings.lago_api_base}
                begin, first = found.since, agreed[0][1]
                made = meters.create(connection, name, first, start=begin, chosen=True, watermark=look_from, **places)
                if not made:
                    raise NoTurnError(f"a pass has just made meter {name!r}: run again")
            elif not known.start_chosen and found.since <= known.start:
                watermark = min(known.watermark, windows.floor(look_from, known.timeline.at(look_from).window))
                found.is_earlier = found.since < known.start
                meters.choose_start(connection, name, found.since, watermark=watermark)
            else:
                found.start = known.start if found.since < known.start else None
                table = tables.meter
                look_from = windows.floor(look_from, known.timeline.at(look_from).window)
                earlier = update(table).where(table.c.name == name)
                connection.execute(earlier.values(watermark=func.least(table.c.watermark, look_from)))
            for since, terms in agreed:
                meters.agree(connection, name, terms, since)
        found.agreed = [
            f"{'From the beginning' if since.year == 1970 else f'From {since:%Y-%m-%d %H:%M} UTC'} on: windows of "
            f"{format_duration(terms.window)}, charged by {terms.charge_by}, events {terms.code!r}"
            for since, terms in agreed
        ]

    def _take_in(self, connection: Connection, day: datetime, found: Found) -> None:
        values = {"meter": self.wanted.name, "since": day, "until": day + _DAY}
        values["batch_size"] = self.settings.limits.batch
        rows = execute(connection, "rebuild/take_in", values).fetchall()
        found.count({fate: Part(*part) for fate, *part in rows}, into=found.events)

    def _see_retention(self, connection: Connection) -> None:
        """Note how far retention has come; to the next pass it would seem to have come to what was never billed."""
        name = self.wanted.name
        row = execute(connection, "capture/counted", {"meter": name}).fetchone()
        if row is None:
            return
        bring = Bringer(self.source, self.sight, self.ledger, one_database=self.settings.one_database)
        meter = meters.load(connection, name)
        assert meter is not None
        settled = meter.timeline.floor(self.sight.now - self.settings.settle)
        values = {"meter": name, "counted": row[0], "oldest": bring.oldest(connection, row[0]), "settled": settled}
        execute(connection, "capture/purge_mark", values)


def _billed(start: datetime, seconds: int, charge_by: str, code: str) -> Billed:
    return Billed(start.astimezone(UTC), seconds, charge_by, code)
