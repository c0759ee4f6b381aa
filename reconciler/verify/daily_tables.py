"""Leg a: did all that the proxy counted reach the spend table? LiteLLM's own daily tables tell, day by day.

They are written by another queue, in another transaction, and do not suffer what loses spend rows (facts: litellm
sections 2 and 4). They may lose rows of their own, so this is a check with a tolerance. The table of tags is never
read: it has a row for each tag.
"""

from datetime import UTC, datetime, time, timedelta

from psycopg import sql
from psycopg.rows import class_row, namedtuple_row

from reconciler.capture.source import TABLE, TABLES, Relation, Source
from reconciler.database.postgres import cursor, execute, not_permitted
from reconciler.database.statements import identifier, statement
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import SourceError
from reconciler.model.money import total
from reconciler.model.terms import ChargeBy, Stretch
from reconciler.model.words import count
from reconciler.verify.findings import WORST, Difference, Kind, Leg

LOST = Kind(
    "lost by the proxy",
    drift=True,
    means="LiteLLM counted it and wrote no row for it: two requests of one id, a row that Postgres refused, a database "
    "error (older LiteLLM), a full queue, disable_spend_logs or SPEND_LOGS_URL. What has no row can't be billed.",
)
LACKING = Kind(
    "lacking in the daily table",
    drift=False,
    means="The spend table has more, and all of that is billed: LiteLLM's daily table has lost rows.",
)

DAILY = {
    ChargeBy.END_USER: ("LiteLLM_DailyEndUserSpend", "end_user_id"),
    ChargeBy.USER: ("LiteLLM_DailyUserSpend", "user_id"),
    ChargeBy.TEAM: ("LiteLLM_DailyTeamSpend", "team_id"),
}
"""The table of each charge-by, and its column of customers."""

_LAG = timedelta(hours=1)
"""So long after a day's end both tables have been written."""

_DAY = timedelta(days=1)


class DailyTables:
    """Compares whole days of one source."""

    def __init__(self, source: Source, schema: str, meter: Meter, ledger: Ledger) -> None:
        """Read nothing yet; the tables are in the proxy's schema of that name."""
        self._source = source
        self._schema = schema
        self._meter = meter
        self._ledger = ledger
        self._days = 0

    def run(self, since: datetime, until: datetime, leg: Leg) -> None:
        """Compare the whole days of `[since, until)`; note in `leg` what is found, or why nothing is compared.

        Raises:
            SourceError: the source can't be reached, or takes too long.
        """
        for stretch in self._meter.timeline.stretches(self._after_retention(since), until - _LAG):
            try:
                self._compare(stretch, leg)
            except SourceError as error:
                if not not_permitted(error):
                    raise
                leg.left_out = str(error)
                return
        if not self._days and leg.left_out is None:
            leg.left_out = "no whole day (UTC) has ended in that span that retention has left as it was."
        leg.checked = count(self._days, "day")

    def _after_retention(self, since: datetime) -> datetime:
        """From where on retention has left the spend table as it was.

        What lies before its oldest row is retention's doing if passes have counted rows there. If they have looked and
        found none, the proxy wrote none.
        """
        counted = self._ledger.once("capture/counted", {"meter": self._meter.name})
        oldest = self._source.oldest_row(since)
        reached = oldest if oldest and counted and counted[0][0] < self._meter.timeline.floor(oldest) else since
        return max(since, reached, self._meter.purge_mark or since)

    def _compare(self, stretch: Stretch, leg: Leg) -> None:
        name, entity = DAILY[ChargeBy(stretch.terms.charge_by)]
        if why := self._missing(name, entity):
            leg.left_out = why
            return
        leg.of = f'"{name}"'
        daily = identifier(self._schema, name)
        day, end = _midnight(stretch.since + _DAY - timedelta(microseconds=1)), _midnight(stretch.until)
        with self._source.transaction() as connection:
            values = {"first": f"{day:%Y-%m-%d}", "last": f"{end:%Y-%m-%d}"}
            row = execute(connection, "verify/first_day", values, daily=daily).fetchone()
        if day < end and (row is None or row[0] is None):
            leg.left_out = f'"{name}" has no rows of that span (disable_spend_updates, or an older LiteLLM).'
            return
        whole = statement("verify/daily").format(
            daily=daily,
            entity=sql.Identifier(entity),
            spend_logs=identifier(self._schema, TABLE),
            customer=sql.Identifier(stretch.terms.customer_column),
        )
        while day < end:
            if row and row[0] <= f"{day:%Y-%m-%d}":  # before its first row this LiteLLM did not keep it
                self._compare_day(whole, day, leg)
            day += _DAY

    def _compare_day(self, whole: sql.Composed, day: datetime, leg: Leg) -> None:
        values = {"day": f"{day:%Y-%m-%d}", "most": WORST}
        with self._source.transaction() as connection:
            sums, *customers = cursor(connection, namedtuple_row).execute(whole, values).fetchall()
        leg.days[day.date()].add(sums.kept, sums.logged)
        self._days += 1
        shown = []
        for row in customers:
            lacking = total([row.kept, -row.logged])
            kind = LOST if lacking > 0 else LACKING
            leg.count(kind, 1, lacking)
            shown.append(Difference(kind, day.date(), row.customer, 1, lacking))
        leg.show(shown)

    def _missing(self, name: str, entity: str) -> str | None:
        """Why a table can't be compared; None if it can."""
        with self._source.transaction() as connection:
            values = {"schema": self._schema, "name": name}
            found = execute(connection, "capture/relation", values, class_row(Relation)).fetchone()
        if found is None:
            return f'this LiteLLM has no table "{name}".'
        if found.kind not in TABLES or found.foreign_part is not None:
            return f'"{name}" is {found.what}, and only a table is read.'
        if hidden := sorted({"date", "spend", entity} - set(found.readable)):
            return f'the role may not read {", ".join(hidden)} of "{name}": sql/grants/grant_daily_tables.sql.'
        return None


def _midnight(moment: datetime) -> datetime:
    """The begin of the day (UTC) that holds a moment."""
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)
