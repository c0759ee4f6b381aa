"""The end of the demo: the source beside Lago, customer by customer, to the last decimal."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from rich import box
from rich.markup import escape
from rich.table import Table

from reconciler.model.money import plain, total

# Computed apart from the reconciler's own statements: what a sceptical operator would ask the spend table.
_SOURCE = """
SELECT end_user, count(*), sum(prompt_tokens), sum(completion_tokens), sum(spend::text::numeric)
FROM "LiteLLM_SpendLogs"
WHERE btrim(end_user) <> '' AND (status IS DISTINCT FROM 'failure' OR spend <> 0)
GROUP BY end_user
"""
_LEFT_OUT = """
SELECT count(*) FILTER (WHERE coalesce(btrim(end_user), '') = '' AND billable) AS without_customer,
       coalesce(sum(spend::text::numeric) FILTER (WHERE coalesce(btrim(end_user), '') = '' AND billable), 0),
       count(*) FILTER (WHERE NOT billable) AS failed
FROM "LiteLLM_SpendLogs", LATERAL (SELECT status IS DISTINCT FROM 'failure' OR spend <> 0 AS billable) AS verdict
"""


@dataclass
class Usage:
    """One customer's usage: numbers, and cost in USD."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = field(default_factory=Decimal)

    def plus(self, other: "Usage") -> "Usage":
        """The sum of both, exact."""
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            total([self.cost, other.cost]),
        )

    def texts(self) -> list[str]:
        """Requests, tokens and cost as people read them, cost with all its decimals."""
        return [f"{self.requests:,}", f"{self.input_tokens + self.output_tokens:,}", plain(self.cost)]


@dataclass(frozen=True)
class LeftOut:
    """Rows of the spend table that nobody is billed for; cost in USD."""

    without_customer: int
    cost: Decimal
    failed: int


def of_source(conninfo: str) -> dict[str, Usage]:
    """What the spend table says, by customer."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(_SOURCE).fetchall()
    return {customer: Usage(requests, into, out, cost) for customer, requests, into, out, cost in rows}


def left_out(conninfo: str) -> LeftOut:
    """What the spend table holds besides."""
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(_LEFT_OUT).fetchone()
    assert row is not None
    return LeftOut(*row)


def of_lago(totals: Iterable[Mapping[str, Any]]) -> dict[str, Usage]:
    """What Lago holds, by subscription, from the stand-in's totals: every event, summed by Lago's own rule."""
    held: dict[str, Usage] = defaultdict(Usage)
    for each in totals:
        sums, whose = each["sums"], each["external_subscription_id"]
        held[whose] = held[whose].plus(
            Usage(
                int(sums["requests"]),
                int(sums["input_tokens"]),
                int(sums["output_tokens"]),
                Decimal(sums["response_cost"]),
            )
        )
    return dict(held)


def table(source: Mapping[str, Usage], lago: Mapping[str, Usage], invoiced: Mapping[str, Decimal]) -> Table:
    """Put both beside each other, `=` where they are equal.

    Args:
        source: what the spend table says.
        lago: what Lago's events say.
        invoiced: what Lago's `current_usage` will put on the invoice; empty where that covers other days.
    """
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    grid.add_column("customer", overflow="fold")
    grid.add_column("", style="dim")
    for name in ("requests", "tokens", "cost, USD"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("", justify="center")
    for customer in sorted(source.keys() | lago.keys(), key=str.casefold):
        pair = source.get(customer, Usage()), lago.get(customer, Usage())
        _line(grid, customer, *pair, equal=_equal(*pair, invoiced.get(customer)))
    grid.add_section()
    both = _total(source.values()), _total(lago.values())
    _line(grid, "all", *both, equal=_equal(*both, total(invoiced.values()) if invoiced else None))
    return grid


def all_equal(source: Mapping[str, Usage], lago: Mapping[str, Usage], invoiced: Mapping[str, Decimal]) -> bool:
    """Whether there was usage, and every figure of every customer is the same."""
    return (
        bool(source)
        and source == lago
        and (not invoiced or invoiced == {customer: usage.cost for customer, usage in source.items()})
    )


def _line(grid: Table, title: str, source: Usage, lago: Usage, *, equal: bool) -> None:
    figures = ("\n".join(pair) for pair in zip(source.texts(), lago.texts(), strict=True))
    mark = "[green]=[/green]" if equal else "[bold red]≠[/bold red]"
    grid.add_row(escape(title), "source\nLago", *figures, mark)


def _equal(source: Usage, lago: Usage, invoiced: Decimal | None) -> bool:
    return source == lago and invoiced in {None, source.cost}


def _total(usages: Iterable[Usage]) -> Usage:
    together = Usage()
    for usage in usages:
        together = together.plus(usage)
    return together
