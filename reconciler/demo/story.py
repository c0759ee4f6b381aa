"""The demo: a day of LiteLLM traffic is billed through a stand-in of Lago, while things go wrong.

Both servers are real, every command is a process of its own, and what they print is what users see. Only time is
not waited for: where the story needs some to pass, it moves a time in the ledger, and says so.
"""

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import psycopg
from rich.console import Console

from reconciler.demo import comparison, traffic
from reconciler.demo.litellm import SpendRow
from reconciler.demo.stage import Stage
from reconciler.model import windows
from reconciler.model.errors import ReconcileError
from reconciler.model.money import plain

SEED = 1
CUSTOMERS = 12
REQUESTS = 10_000
QUEUED_REQUESTS = 500
PARKED_REQUESTS = 4_000

WINDOW = timedelta(minutes=15)
SETTLE = timedelta(minutes=2)
INTERRUPTED = 130
WIDTH = 110


def tell(*, keep: bool) -> int:
    """Play the demo on standard output.

    Args:
        keep: leave both servers up afterwards, until Ctrl-C.

    Returns:
        0 if Lago counts exactly what the spend table says and every command ended as it should, 1 if not,
        130 after a Ctrl-C before the end.

    Raises:
        ReconcileError: the demo can't be played here; says why.
    """
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    with _terminated_like_interrupted():
        try:
            with Stage() as stage:
                story = Story(stage, console)
                equal = story.tell()
                if keep:
                    story.keep()
                return 0 if equal else 1
        except KeyboardInterrupt:
            console.show_cursor()  # a progress bar that was cut off had hidden it
            console.print("\nStopped. Both servers are down, and nothing is left behind.")
            return INTERRUPTED
        except (psycopg.Error, httpx.HTTPError, OSError) as error:
            raise ReconcileError(f"The demo can't go on: {' '.join(str(error).split())}") from error


class Story:
    """The acts, in order; each leaves the stage as the next finds it."""

    def __init__(self, stage: Stage, console: Console) -> None:
        """Take a stage on which nothing has happened."""
        self._stage = stage
        self._console = console
        self._acts = 0
        self._as_told = True
        self._began = time.monotonic()
        self._until = windows.floor(datetime.now(UTC) - SETTLE, WINDOW)
        self._since = self._until - timedelta(days=1)
        self._late: list[SpendRow] = []
        # On the first day of a month the traffic reaches back into a period that Lago may have closed.
        self._more = {} if self._in_one_period else {"RECONCILE_CLOSED_PERIOD": "send"}

    def tell(self) -> bool:
        """Tell it; return whether all was equal in the end, and went as told."""
        self._a_day_of_traffic()
        self._the_first_pass()
        self._late_rows()
        self._lago_goes_away()
        self._a_kill_in_the_middle()
        return self._the_source_beside_lago() and self._as_told

    def keep(self) -> None:
        """Leave both servers up until Ctrl-C."""
        self._act("Try it yourself")
        self._say("Both servers stay up until you press Ctrl-C. In another terminal:\n")
        for name, value in (self._stage.variables | self._more).items():
            self._verbatim(f"export {name}={shlex.quote(value)}")
        self._say("\nand then, for example:\n")
        for command in ("reconcile status", "reconcile --dry-run --since 36h", "reconcile --json"):
            self._verbatim(command)
        self._verbatim(f"curl {self._stage.lago.url}/sandbox/totals")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            self._say("\nBoth servers go down, and nothing is left behind.")

    def _a_day_of_traffic(self) -> None:
        self._act("A day of traffic")
        stage = self._stage
        written: list[SpendRow] = []
        for row in traffic.generate(SEED, self._since, self._until, REQUESTS, customer_count=CUSTOMERS):
            in_time = row["created_at"] <= self._until.replace(tzinfo=None)
            (written if in_time else self._late).append(row)
        traffic.write(stage.url, written)
        self._say(
            f"Postgres {stage.postgres.version} with LiteLLM's own schema ({stage.migrations} migrations). The proxy "
            f"has written {len(written):,} rows from {self._since:%b %d %H:%M} to {self._until:%b %d %H:%M} UTC: "
            f"{CUSTOMERS} customers and their teams, {len(traffic.MODELS)} models, streams, cache hits, failures, "
            "requests without a customer."
        )
        stage.billing.set_up(traffic.customers(CUSTOMERS), self._since.replace(day=1, hour=0, minute=0))
        self._say(
            "A stand-in of Lago answers over HTTP. In it, made through Lago's API: a metric that sums response_cost, "
            f"a plan, {CUSTOMERS} customers with a subscription each."
        )

    def _the_first_pass(self) -> None:
        self._act("The first pass")
        self._say("Five variables that you know from LiteLLM, then one command. --since says from when on to bill.\n")
        shown = self._stage.variables | {
            "DATABASE_URL": f"postgresql://postgres:…@127.0.0.1:{self._stage.postgres.port}/litellm"
        }
        for name, value in (shown | self._more).items():
            self._verbatim(f"export {name}={value}")
        self._reconcile("--since", f"{self._since:%Y-%m-%dT%H:%M}", expected=3)
        self._say(
            "\nExit code 3: it is done, and a person should look. LiteLLM has no price for one of the models. It is a "
            "model of our own, so the alarm is acknowledged."
        )
        self._reconcile("alarm", "ack", "1", "--reason", "a model of our own, free on purpose")

    def _late_rows(self) -> None:
        self._act("Late rows")
        oldest = min(row["startTime"] for row in self._late).replace(tzinfo=UTC)
        traffic.write(self._stage.url, self._late)
        self._say(
            f"{len(self._late)} more rows arrive: long calls, and rows that were parked in Redis while Postgres was "
            f"away. They started up to {(self._until - oldest) / timedelta(hours=1):.0f} hours ago. Every pass looks "
            "at the last hour again; about once an hour it counts the rows of the last 35 days. We let that hour "
            "pass:\n"
        )
        self._execute("UPDATE reconciler.meter SET created_at = created_at - interval '1 hour'")
        self._reconcile()
        self._say("\nNothing follows rows: where a window holds more than was billed, the difference is billed.")
        self._say("So a third pass finds nothing to do.")
        self._reconcile()

    def _lago_goes_away(self) -> None:
        self._act("Lago goes away")
        self._stage.lago.stop()
        half_an_hour = self._until - timedelta(minutes=30)
        rows = traffic.generate(SEED + 1, half_an_hour, self._until, QUEUED_REQUESTS, customer_count=CUSTOMERS)
        written = traffic.write(self._stage.url, rows)
        self._say(f"Lago is down, and a second pod of the proxy writes {written} rows.")
        self._reconcile(expected=1)
        self._say("\nExit code 1, and all of it is in the ledger. Lago comes back; cron runs the next pass.")
        self._stage.lago.start()
        self._reconcile()

    def _a_kill_in_the_middle(self) -> None:
        self._act("kill -9 in the middle")
        stage = self._stage
        since = self._until - timedelta(hours=7)
        rows = traffic.generate(SEED + 2, since, self._until, PARKED_REQUESTS, customer_count=CUSTOMERS)
        written = traffic.write(stage.url, rows)
        self._say(
            f"A third pod had lost Postgres for seven hours and now writes {written:,} rows. You know of it, so you "
            "don't wait for the hourly count. Somebody kills the pass while it delivers.\n"
        )
        arguments = ("--since", "8h")
        self._command(*arguments)
        sent = stage.kill_in_the_middle(*arguments, **self._more)
        self._verbatim("Killed")
        unheard = len(stage.lago.events()) - sent.accepted
        self._say(
            f"\n{sent.on_their_way} events were on their way when it died, {sent.waiting} were not. Lago has stored "
            f"{unheard} of which the ledger doesn't know. The next pass sends what was not; the others "
            "belong to the dead process for a minute, its lease."
        )
        self._reconcile()
        self._say("\nWe let that minute pass:\n")
        self._execute("UPDATE reconciler.batch SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL")
        self._reconcile()
        self._say(
            "\nThe same bytes went again under the same ids. Lago refused what it had; each refused event was fetched, "
            "compared with ours and found the same. Nothing is billed twice."
        )

    def _the_source_beside_lago(self) -> bool:
        self._act("The spend table beside Lago")
        stage = self._stage
        source = comparison.of_source(stage.url)
        lago = comparison.of_lago(stage.lago.totals())
        invoiced: dict[str, Decimal] = {}
        if self._in_one_period:
            invoiced = {customer: stage.billing.current_usage(customer) for customer in source}
        self._console.print(comparison.table(source, lago, invoiced))
        if invoiced:
            self._say(
                "The same cost, asked of Lago's current_usage: what it is going to invoice. It counts for the = too."
            )
        else:
            self._say(
                "The day lies in two billing periods, so Lago's events are summed, by the rule by which it counts."
            )
        rest = comparison.left_out(stage.url)
        self._say(
            f"Not billed: {rest.without_customer} rows without a customer ({plain(rest.cost)} USD, in every summary "
            f"above) and {rest.failed} failed requests that cost nothing."
        )
        equal = comparison.all_equal(source, lago, invoiced)
        seconds = time.monotonic() - self._began
        if equal:
            self._mark(f"\n[bold green]Equal to the last decimal[/bold green], after {seconds:.0f} seconds.")
        else:
            self._mark("\n[bold red]Not equal.[/bold red] This must not be: please report it.")
        return equal

    @property
    def _in_one_period(self) -> bool:
        """Whether Lago's billing period of now, the month in UTC, holds the whole day of traffic."""
        now = datetime.now(UTC)
        return (self._since.year, self._since.month) == (now.year, now.month)

    def _reconcile(self, *arguments: str, expected: int = 0) -> None:
        self._say("")
        self._command(*arguments)
        code = self._stage.reconcile(*arguments, **self._more)
        if code != expected:
            self._as_told = False
            self._mark(f"[bold red]This should have ended with exit code {expected}, not {code}.[/bold red]")

    def _execute(self, statement: str) -> None:
        self._console.print(f"[dim]ledger>[/dim] [bold]{statement};[/bold]", soft_wrap=True)
        self._stage.execute(statement)

    def _act(self, title: str) -> None:
        self._acts += 1
        self._mark(f"\n[bold cyan]{self._acts}  {title}[/bold cyan]\n")

    def _command(self, *arguments: str) -> None:
        self._console.print(f"[dim]$[/dim] [bold]{shlex.join(('reconcile', *arguments))}[/bold]", soft_wrap=True)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _mark(self, text: str) -> None:
        self._console.print(text)

    def _verbatim(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end the demo as cleanly as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
