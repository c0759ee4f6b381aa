"""Source and ledger compared for what people want to know: nothing is planned, nothing kept."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import dict_row

from reconciler.capture.bring import Bringer
from reconciler.capture.source import Sight, Source, values
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.terms import Stretch
from reconciler.settings.meter import MeterSettings

_DAY = timedelta(days=1)


class Comparison:
    """Compares stretches of one meter's windows in a dry ledger."""

    def __init__(
        self, wanted: MeterSettings, source: Source, sight: Sight, ledger: Ledger, *, one_database: bool
    ) -> None:
        """Read nothing yet.

        Args:
            wanted: the meter's settings.
            source: the spend table.
            sight: what it looks like.
            ledger: a dry one.
            one_database: whether it is where the spend table is.
        """
        self._wanted = wanted
        self._ledger = ledger
        self._bring = Bringer(source, sight, ledger, one_database=one_database)
        self._subscriptions = Subscriptions(wanted)

    def rows(self, name: str, stretch: Stretch, given: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """What `sql/capture/<name>.sql` says of the stretch's differences.

        Args:
            name: of a statement around compare.sql.
            stretch: whole settled windows.
            given: further values of it.
        """
        compare = statement("capture/compare").format(
            subscription=self._subscriptions.expression, mapping=self._subscriptions.join
        )
        whole = statement(f"capture/{name}").format(compare=compare)
        with self._ledger.transaction(planning=True) as connection:
            self._bring.totals(connection, stretch)
            self._subscriptions.load(connection)
            fixed = {"meter": self._wanted.name, "template": self._wanted.subscription}
            found = cursor(connection, dict_row).execute(whole, values(stretch) | fixed | dict(given or {}))
            return found.fetchall()


def days(meter: Meter, since: datetime, until: datetime, *, newest_first: bool = False) -> Iterator[Stretch]:
    """Cut `[since, until)` at midnight (UTC) and where the meter's terms change: as much as one statement may sum."""
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    count = (until.date() - since.date()).days + 1
    for number in reversed(range(count)) if newest_first else range(count):
        midnight = datetime.combine(since.date(), datetime.min.time(), UTC) + number * _DAY
        day = list(meter.timeline.stretches(max(since, midnight), min(until, midnight + _DAY)))
        yield from reversed(day) if newest_first else day
