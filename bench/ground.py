"""What the benchmark stands on: a Postgres with fixed settings, databases full of rows, and a pass's looks at them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from threading import Event
from types import MappingProxyType

import psycopg
from psycopg import sql

from bench.volume import SHAPES, Traffic, fill
from reconciler.capture.agenda import Agenda
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.looks import Looks
from reconciler.capture.planner import Planner
from reconciler.capture.source import Source
from reconciler.database.postgres import SET_BASED, Postgres, cursor
from reconciler.demo.litellm import apply_migrations
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.ledger import meters
from reconciler.ledger.store import open_ledger
from reconciler.model import windows
from reconciler.model.errors import SourceError
from reconciler.report.progress import Silent
from reconciler.settings.limits import Limits
from reconciler.settings.load import load_settings

SERVER: Mapping[str, str] = MappingProxyType(
    {
        "max_parallel_workers_per_gather": "0",  # on neither side
        "shared_buffers": "6GB",  # the table fits in, as the last weeks of one do on a server in use
        "max_wal_size": "4GB",  # no checkpoint of the server's own falls into a measured run
        "checkpoint_timeout": "30min",
        "autovacuum": "off",  # nor does a vacuum: the benchmark does it between runs
    }
)
"""The server's settings; all others are Postgres's defaults, `fsync` and `synchronous_commit` among them."""

CODE = "openai_tokens"
WINDOW = timedelta(minutes=15)
SETTLE = timedelta(minutes=2)
NO_LOOKBACK = timedelta()
NOBODY = "http://127.0.0.1:9"
"""Where no Lago is."""

# OFFSET: every group is made and every sum computed, but no row is sent.
_GROUP_BY = sql.SQL("""
    SELECT date_bin('15 minutes', "startTime", timestamp '2000-01-01'), end_user, model,
           sum(prompt_tokens), sum(completion_tokens), sum(spend::text::numeric), count(*)
    FROM public."LiteLLM_SpendLogs" WHERE {span}
    GROUP BY 1, 2, 3
    OFFSET 1000000000
""")
_COUNT = sql.SQL("""
    SELECT date_bin('15 minutes', "startTime", timestamp '2000-01-01'), count(*)
    FROM public."LiteLLM_SpendLogs"
    GROUP BY 1
    OFFSET 1000000000
""")
_BILLED = """
    SELECT (SELECT sum(spend::text::numeric) FROM public."LiteLLM_SpendLogs" WHERE end_user <> ''),
           (SELECT sum(cost) FROM reconciler.event)
"""


def make_database(server: EmbeddedPostgres, name: str) -> str:
    """Make an empty database in place of any of that name; return its address."""
    drop_database(server, name)
    with psycopg.connect(server.socket_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.socket_url(name)


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    """Drop a database if it is there."""
    with psycopg.connect(server.socket_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


class Ground:
    """A database with so many rows of one kind of traffic, and the ledger beside them."""

    def __init__(self, server: EmbeddedPostgres, kind: Traffic, rows: int, lago: str = NOBODY) -> None:
        """Fill the database, unless an earlier run left it there whole.

        Args:
            server: where.
            kind: of traffic.
            rows: how many.
            lago: the address that passes send to, without `/api/v1`.
        """
        self.kind: Traffic = kind
        self.rows = rows
        self.name = f"{kind}_{rows}"
        self.url = server.socket_url(self.name)
        self.environ = {
            "DATABASE_URL": self.url,
            "LAGO_API_BASE": lago,
            "LAGO_API_KEY": "none",
            "LAGO_API_EVENT_CODE": CODE,
            "LAGO_API_CHARGE_BY": "end_user_id",
        }
        if not self._is_whole():
            make_database(server, self.name)
            apply_migrations(self.url)
            fill(self.url, kind, rows, seed=1)
        first, last = self.fetch('SELECT min("startTime"), max("startTime") FROM public."LiteLLM_SpendLogs"')
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        self.since = windows.floor(first.replace(tzinfo=UTC), WINDOW)
        self.until = windows.ceil(last.replace(tzinfo=UTC), WINDOW)

        settings = load_settings(environ=self.environ)
        self._meter = settings.meters[0]
        self._lago = settings.lago_api_base
        self._postgres = Postgres(settings.source, error=SourceError, statement_timeout=settings.statement_timeout)
        self._source = Source(self._postgres)
        self._ledger = open_ledger(settings)
        self._sight = self._source.sight()
        self._billed = False  # a ledger of an earlier run may be of an earlier version

    def _is_whole(self) -> bool:
        try:
            return self.fetch('SELECT count(*) FROM public."LiteLLM_SpendLogs"') == (self.rows,)
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return False

    def execute(self, *statements: str) -> None:
        """Run statements, each by itself."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def fetch(self, query: str) -> tuple[object, ...]:
        """Return a query's only row."""
        with psycopg.connect(self.url) as connection:
            row: tuple[object, ...] | None = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row

    # What is compared with.

    def group_by(self, since: datetime | None = None) -> float:
        """Return the seconds of the bare GROUP BY of all rows, or of those from `since` on."""
        span: sql.SQL | sql.Composed = sql.SQL("true")
        if since is not None:
            span = sql.SQL('"startTime" >= {}').format(sql.Literal(since.replace(tzinfo=None)))
        return self._bare(_GROUP_BY.format(span=span))

    def count(self) -> float:
        """Return the seconds of the bare count of rows by window, index-only."""
        return self._bare(_COUNT)

    def _bare(self, query: sql.SQL | sql.Composed) -> float:
        # With the work_mem and the planner's settings of a pass, so that neither side is favoured.
        with self._postgres.transaction(read_only=True, local=SET_BASED) as connection:
            return self._stopwatch(lambda: cursor(connection).execute(query))

    def _stopwatch(self, work: Callable[[], object]) -> float:
        self.execute("CHECKPOINT")
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    # What a pass does.

    def drop_ledger(self) -> None:
        """Leave no ledger at all."""
        self._billed = False
        self.execute("DROP SCHEMA IF EXISTS reconciler CASCADE")

    def _empty_ledger(self) -> None:
        """Make the ledger anew, with a meter that begins with the first row and has looked at nothing."""
        self.drop_ledger()
        self._ledger.upgrade()
        with self._ledger.transaction() as connection:
            meters.create(
                connection,
                self._meter.name,
                self._meter.terms,
                start=self.since,
                chosen=True,
                watermark=self.since,
                source=asdict(self._sight.place),
                lago=self._lago,
            )

    def bill(self) -> None:
        """See that all rows are billed."""
        if not self._billed:
            self.first_look()

    def first_look(self) -> float:
        """Return the seconds of a first look: an empty ledger, all rows planned, nothing sent."""
        self._empty_ledger()
        seconds = self.fresh()
        self._vacuum_ledger()
        self.check_billed()
        self._billed = True
        return seconds

    def payloads(self) -> list[str]:
        """Return what is to be sent of each event, oldest window first."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("SELECT payload FROM reconciler.event ORDER BY window_start, bucket").fetchall()
        return [payload for (payload,) in rows]

    def check_billed(self) -> None:
        """Raise `RuntimeError` unless the ledger's events are worth exactly what the table says."""
        source, ledger = self.fetch(_BILLED)
        if source != ledger:
            raise RuntimeError(f"{self.name}: the events are not worth what the table says")

    def _vacuum_ledger(self) -> None:
        """Do what autovacuum would have done by the time of the next look."""
        self.execute(*(f'VACUUM (ANALYZE) reconciler."{table}"' for table in ("event", "batch", "window")))

    def fresh(self, until: datetime | None = None, lookback: timedelta = NO_LOOKBACK) -> float:
        """Return the seconds of a fresh look from the watermark less the look-back to `until`, or to the last row."""
        return self._stopwatch(self._looks(until or self.until, lookback).fresh)

    def deep(self) -> float:
        """Return the seconds of a deep look at all rows."""
        self.execute(
            "UPDATE reconciler.meter SET created_at = clock_timestamp() - interval '2 days'",
            "TRUNCATE reconciler.look",
        )
        return self._due("deep")

    def probe(self) -> float:
        """Return the seconds of a probe over all rows, after a deep look."""
        self.execute(
            "UPDATE reconciler.meter SET created_at = clock_timestamp() - interval '2 hours'",
            "TRUNCATE reconciler.look",
        )
        return self._due("probe")

    def _due(self, kind: str) -> float:
        seconds = self._stopwatch(self._looks(self.until, NO_LOOKBACK).due)
        done = self.fetch("SELECT string_agg(kind, ' ') FROM reconciler.look WHERE finished_at IS NOT NULL")
        assert done == (kind,), done
        return seconds

    def events(self) -> int:
        """Return how many events the ledger has."""
        (count,) = self.fetch("SELECT count(*) FROM reconciler.event")
        assert isinstance(count, int)
        return count

    def append(self, rows: int) -> datetime:
        """Append rows after all others, in windows of their own; return the end of the last window."""
        span = timedelta(seconds=(rows + 1) / SHAPES[self.kind].rows_per_second)
        until = windows.ceil(self.until + span, WINDOW)
        fill(self.url, self.kind, rows, seed=2, until=until)
        return until

    def forget_appended(self) -> None:
        """Make the ledger forget what it knows of appended rows."""
        after = f"'{self.until.isoformat()}'"
        self.execute(
            f"DELETE FROM reconciler.event WHERE window_start >= {after}",
            f"DELETE FROM reconciler.batch WHERE first_window >= {after}",
            f'DELETE FROM reconciler."window" WHERE start >= {after}',
            f"UPDATE reconciler.meter SET watermark = {after}",
        )
        self._vacuum_ledger()

    def write_appended(self) -> float:
        """Return the seconds of writing the appended rows' events once more: ready as they are, committed."""
        self.execute(
            "CREATE TABLE public.ready AS SELECT * FROM reconciler.event "
            f"WHERE window_start >= '{self.until.isoformat()}' ORDER BY window_start",
        )
        self.forget_appended()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT count(*) FROM reconciler.event JOIN public.ready USING (bucket)")  # warms up
            seconds = self._stopwatch(
                lambda: connection.execute("INSERT INTO reconciler.event SELECT * FROM public.ready")
            )
        self.execute("DROP TABLE public.ready")
        return seconds

    def cut_appended(self) -> None:
        """Delete appended rows, and forget them."""
        self.forget_appended()
        self.execute(
            f"""DELETE FROM public."LiteLLM_SpendLogs" WHERE "startTime" >= '{self.until.replace(tzinfo=None)}'""",
            'VACUUM (ANALYZE) "LiteLLM_SpendLogs"',
        )

    def _looks(self, until: datetime, lookback: timedelta) -> Looks:
        with self._ledger.transaction() as connection:
            meter = meters.load(connection, self._meter.name)
        assert meter is not None
        limits = Limits()
        settled = meter.timeline.floor(until)
        comparison = Comparison(
            self._meter, self._source, self._sight, self._ledger, one_database=True, settled=settled
        )
        return Looks(
            meter,
            comparison,
            Planner(self._meter, comparison, self._ledger),
            Chunks(meter.name, self._ledger, turn=limits.turn, seconds=limits.chunk, stopping=Event()),
            Agenda(meter.name, self._ledger, pauses={"probe": limits.probe, "deep": limits.deep}),
            self._ledger,
            now=until + SETTLE,
            settled=settled,
            lookback=lookback,
            horizon=timedelta(days=35),
            oldest=self._source.oldest_row,
            progress=Silent().looked,
        )
