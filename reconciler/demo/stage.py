"""Where the demo plays: LiteLLM's database, a Lago, and the real command as a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from reconciler.demo.billing import CODE, Billing
from reconciler.demo.litellm import apply_migrations, migrations
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.model.errors import ReconcileError
from reconciler.sandbox import Sandbox

DATABASE = "litellm"

# What is gone at the end of the demo needs no sync to disk.
_QUICK = {"fsync": "off", "full_page_writes": "off"}

_SENT = """
SELECT coalesce(sum(events) FILTER (WHERE state = 'accepted'), 0)::int,
       coalesce(sum(events) FILTER (WHERE state = 'planned' AND leased_until > clock_timestamp()), 0)::int,
       coalesce(sum(events) FILTER (WHERE state = 'planned' AND leased_until IS NULL), 0)::int
FROM reconciler.batch
"""


@dataclass(frozen=True)
class Sent:
    """How far delivery has come, by the ledger: numbers of events."""

    accepted: int
    on_their_way: int
    waiting: int


class Stage:
    """Both servers and the commands; `with` sets it up and clears it away."""

    def __init__(self) -> None:
        """Prepare; nothing runs yet."""
        self.postgres = EmbeddedPostgres(settings=_QUICK)
        self._closing = ExitStack()
        self._folder: Path

    def __enter__(self) -> Self:
        """Start both servers.

        Raises:
            ReconcileError: the `demo` extra is not installed, or Postgres does not start.
        """
        with ExitStack() as opened:
            self.migrations = len(migrations())  # before anything starts, so that a missing extra is told at once
            self._folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-demo-")))
            opened.enter_context(self.postgres)
            with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            apply_migrations(self.url)
            self.lago = opened.enter_context(Sandbox(self._folder / "lago.sqlite"))
            self.billing = Billing(self.lago.url, self.lago.api_key)
            opened.callback(self.billing.close)
            self._closing = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop both servers and remove their data."""
        self._closing.close()

    @property
    def url(self) -> str:
        """The address of the proxy's database."""
        return self.postgres.url(DATABASE)

    @property
    def variables(self) -> dict[str, str]:
        """The five variables that an operator sets."""
        return {
            "DATABASE_URL": self.url,
            "LAGO_API_BASE": self.lago.url,
            "LAGO_API_KEY": self.lago.api_key,
            "LAGO_API_EVENT_CODE": CODE,
            "LAGO_API_CHARGE_BY": "end_user_id",
        }

    def reconcile(self, *arguments: str, **more: str) -> int:
        """Run the command to its end, on the terminal that we have; return its exit code.

        Args:
            arguments: as on the command line.
            more: further variables.
        """
        return subprocess.run(_command(arguments), env=self._environment(more), check=False).returncode  # noqa: S603

    def kill_in_the_middle(self, *arguments: str, **more: str) -> Sent:
        """Run the command and SIGKILL it once some events have arrived and others are on their way.

        Lago answers slowly meanwhile, so that the moment is not left to chance.

        Returns:
            How far delivery had come.

        Raises:
            ReconcileError: the command ended before it could be killed.
        """
        before = self.sent().accepted
        self.lago.faults(
            {"kind": "slow", "seconds": 0.4, "count": None, "method": "POST", "path": "/api/v1/events/batch"}
        )
        with subprocess.Popen(  # noqa: S603 - this program
            _command(arguments),
            env=self._environment(more),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                self._wait(lambda: self._in_the_middle(before), process)
            finally:
                process.kill()
        self.lago.clear_faults()
        time.sleep(0.5)  # what Lago was about to store, it stores: nobody told it that its client is dead
        return self.sent()

    def sent(self) -> Sent:
        """How far delivery has come; of a ledger that isn't there yet, not at all."""
        with psycopg.connect(self.url) as connection:
            if connection.execute("SELECT to_regclass('reconciler.batch')").fetchone() == (None,):
                return Sent(0, 0, 0)
            row = connection.execute(_SENT).fetchone()
        assert row is not None
        return Sent(*row)

    def execute(self, statement: str) -> None:
        """Run one statement on the proxy's database, where the ledger is too."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode())

    def _in_the_middle(self, before: int) -> bool:
        sent = self.sent()
        return sent.accepted > before and sent.on_their_way > 0

    def _wait(self, done: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
        while not done():
            if process.poll() is not None:
                raise ReconcileError("The demo's pass ended before it could be killed. Run the demo again.")
            time.sleep(0.01)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Our environment without what would lead the command elsewhere."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RECONCILE_", "LAGO_", "PG")) and name.upper() != "NO_PROXY"
        }
        return {**kept, **self.variables, "RECONCILE_CONFIG": os.devnull, "NO_PROXY": "127.0.0.1", **more}


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "reconciler", *arguments]
