"""A proxy's database, a ledger and a Lago whose state can be kept and had again, many times."""

from collections.abc import Mapping
from typing import Any

import httpx

from reconciler.sandbox import Sandbox
from tests import sessions
from tests.conftest import Database
from tests.crash.steps import Steps, counted, crash
from tests.support import EVENTS, assert_exact, end_leases, environment, make_metric, reconcile


class Scene:
    """Where crashes happen."""

    def __init__(self, source: Database, ledger: Database, lago: Sandbox) -> None:
        """Use empty databases, perhaps one for both, and an empty Lago."""
        self.source = source
        self.ledger = ledger
        self.lago = lago
        # Through the socket, which asks for no password: that saves a real process half of its time.
        self.environ = environment(
            source,
            lago,
            DATABASE_URL=source.server.socket_url(source.name),
            RECONCILE_LEDGER_URL=ledger.server.socket_url(ledger.name),
            RECONCILE_HORIZON="1d",  # a probe and a deep look take three chunks then
        )
        for url in self._urls:
            sessions.begin(url)
        self._restore = ""
        self._payloads: list[str] = []
        self._faults: tuple[Mapping[str, Any], ...] = ()

    def keep(self, *faults: Mapping[str, Any], lost: int = 0) -> None:
        """Remember how all stands now; the faults will be Lago's next ones each time, and so many events lost there."""
        self.ledger.fetch("DROP SCHEMA IF EXISTS kept CASCADE")
        self.ledger.fetch("CREATE SCHEMA kept")
        self._restore = "DROP SCHEMA IF EXISTS reconciler CASCADE"
        if self._has_ledger():
            statements = ["BEGIN", "SET LOCAL session_replication_role = replica"]  # in which foreign keys rest
            for (table,) in self.ledger.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'reconciler'"):
                name = f'"{table}"'
                self.ledger.fetch(f"CREATE TABLE kept.{name} AS TABLE reconciler.{name}")
                statements.append(f"DELETE FROM reconciler.{name}")
                statements.append(f"INSERT INTO reconciler.{name} OVERRIDING SYSTEM VALUE TABLE kept.{name}")
            self._restore = "; ".join([*statements, "COMMIT"])
            accepted = self.ledger.fetch(f"SELECT payload FROM {EVENTS} WHERE state = 'accepted'")
            self._payloads = [payload for (payload,) in accepted][lost:]
        self._faults = faults

    def restore(self) -> None:
        """Let all be as it was kept. The product writes only to the ledger's schema and to Lago.

        Rows are put back instead of a database, so that sessions go on: a new one costs as much as a pass.
        """
        self.ledger.fetch(self._restore)
        self.lago.reset()
        make_metric(self.lago)
        if "RECONCILE_LAG" in self.environ:
            self.lago.clickhouse(lag=0)
        if self._payloads:
            answer = httpx.post(
                f"{self.lago.url}/api/v1/events/batch",
                content='{"events":[' + ",".join(self._payloads) + "]}",
                headers={"Authorization": f"Bearer {self.lago.api_key}", "Content-Type": "application/json"},
                trust_env=False,
            )
            answer.raise_for_status()
        self.lago.clear_requests()
        self.lago.faults(*self._faults)

    def forget(self) -> None:
        """End its sessions."""
        for url in self._urls:
            sessions.end(url)

    @property
    def _urls(self) -> set[str]:
        return {self.environ["DATABASE_URL"], self.environ["RECONCILE_LEDGER_URL"]}

    def end_leases(self) -> None:
        """Let the time pass that a killed sender's lease takes."""
        if self._has_ledger():
            end_leases(self.ledger)

    def reconcile(self, *arguments: str) -> None:
        """Run a pass with the command line's arguments, in this process; see that it has nothing to complain of."""
        options = {name.removeprefix("--"): value for name, value in zip(arguments[::2], arguments[1::2], strict=True)}
        summary = reconcile(self.environ, since=options.get("since"), until=options.get("until"))
        assert summary.exit_code == 0
        assert not summary.skipped

    def steps(self, *arguments: str) -> Steps:
        """Run a pass as all was kept, and note the steps that it takes."""
        self.restore()
        with counted(Steps(crash)) as steps:
            self.reconcile(*arguments)
        return steps

    def finish(self, *arguments: str) -> None:
        """Do what cron does after a crash, some time later: the same once more. Then see that the bill is exact."""
        self.end_leases()
        self.reconcile(*arguments)
        assert_exact(self.source, self.lago, ledger=self.ledger)

    def _has_ledger(self) -> bool:
        return bool(self.ledger.fetch("SELECT to_regclass('reconciler.event') IS NOT NULL")[0][0])
