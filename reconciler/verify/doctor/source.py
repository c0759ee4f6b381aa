"""The spend table: what is seen of it, and whether billing can rest on it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from reconciler.model.words import count, length
from reconciler.verify.doctor.check import Check, Mark, Untold
from reconciler.verify.doctor.rows import clock, retention, rows
from reconciler.verify.doctor.source_facts import Billing, Layout, Scan, Server, SourceFacts, Table

COSTLY = 10_000
"""A scan that Postgres reckons dearer, about so many pages of 8 kB, should have used the index."""

REPLICA = timedelta(minutes=15)
"""A replica that is further behind bills usage late."""

VERSIONS = {
    "billing_agent_id": "1.105", "litellm_call_id": "1.103", "created_at": "1.99", "request_duration_ms": "1.82",
    "agent_id": "1.80.10", "organization_id": "1.80.7", "mcp_namespaced_tool_name": "1.75", "status": "1.69",
    "session_id": "1.67.4",
}  # fmt: skip
"""About since which LiteLLM the table has a column, the newest first (facts: litellm section 1)."""


def source_checks(facts: SourceFacts, billing: Billing) -> Iterator[Check]:
    """All that can be said of the source; what can't be asked is left out."""
    yield reachable(facts)
    if isinstance(facts.server, Untold) or facts.table is None:
        return
    yield of_table(facts.table)
    if isinstance(facts.table, Untold):
        return
    table = facts.table
    yield from columns(facts.columns or {})
    yield row_level_security(table.layout)
    yield read_only(facts.server, table.layout, billing)
    yield version(table)
    if table.layout.is_hidden or any(isinstance(each, Untold) for each in (facts.columns or {}).values()):
        return
    yield index(table.layout, facts.scans)
    for meter, verdicts in (facts.verdicts or {}).items():
        yield rows(verdicts, facts, meter)
    yield retention(facts.oldest, table.now, billing)
    yield clock(facts.server, facts.here, facts.newest)


def reachable(facts: SourceFacts) -> Check:
    """Whether we are let in."""
    if isinstance(facts.server, Untold):
        return Check("source", Mark.BAD, facts.server.why)
    return Check("source", Mark.GOOD, f"{facts.where}, Postgres {facts.server.version}, as role {facts.server.role!r}.")


def of_table(table: Table | Untold) -> Check:
    """Whether it is there, a table, and all of it."""
    if isinstance(table, Untold):
        return Check("table", Mark.BAD, table.why)
    layout = table.layout
    about = f", about {count(layout.rows, 'row')}" if layout.rows >= 0 else ""
    parts = f", in {count(layout.partitions, 'partition')}" if layout.partitions else ""
    says = f'"LiteLLM_SpendLogs" in {table.where}{about}{parts}.'
    if layout.has_legacy:
        return Check(
            "table",
            Mark.LOOK,
            f'{says} "LiteLLM_SpendLogs_legacy" lies beside it, as LiteLLM\'s runbook for partitions leaves it: rows '
            "there are not billed.",
            "Attach it as a partition, or drop it if nothing of it is left to bill.",
        )
    return Check("table", Mark.GOOD, says)


def columns(found: Mapping[str, Untold | None]) -> Iterator[Check]:
    """Whether all that the settings need can be read."""
    bad = {meter: told for meter, told in found.items() if isinstance(told, Untold)}
    for meter, told in bad.items():
        yield Check("columns", Mark.BAD, told.why, meter=meter)
    if not bad:
        yield Check("columns", Mark.GOOD, "All that the settings need can be read.")


def row_level_security(layout: Layout) -> Check:
    """Whether all rows are seen."""
    if layout.is_hidden:
        return Check(
            "row-level security",
            Mark.BAD,
            "It is on for this role: it would see a part of the rows only, so passes refuse to read any.",
            "Let the role bypass it (ALTER ROLE … BYPASSRLS), be the table's owner, or turn it off for that table.",
        )
    return Check("row-level security", Mark.GOOD, "It hides nothing from this role.")


def index(layout: Layout, scans: Sequence[Scan] | Untold | None) -> Check:
    """Whether a fresh look reads what is new, and not all."""
    if not layout.is_indexed:
        return Check(
            "index",
            Mark.LOOK,
            'No index begins with "startTime", so each look reads the whole table.',
            'LiteLLM makes one. Let it run its migrations, or let the owner CREATE INDEX ON "LiteLLM_SpendLogs" '
            '("startTime").',
        )
    if scans is None or isinstance(scans, Untold):
        return Check("index", Mark.LOOK, f"How a look reads can't be told: {scans.why if scans else 'no answer'}")
    dear = [scan for scan in scans if not scan.is_indexed and scan.cost > COSTLY]
    if dear:
        return Check(
            "index",
            Mark.LOOK,
            f'A fresh look would read all of {dear[0].part}, though there is an index on "startTime".',
            'Let the table\'s owner run ANALYZE "LiteLLM_SpendLogs".',
        )
    if any(scan.is_indexed for scan in scans):
        return Check("index", Mark.GOOD, 'A fresh look reads by the index on "startTime".')
    return Check("index", Mark.GOOD, "The table is so small that a look may read all of it; the index is there.")


def read_only(server: Server, layout: Layout, billing: Billing) -> Check:
    """Whether it takes what is to be written there, which is nothing but a ledger."""
    writes = "could write the spend table; we never do" if layout.may_write else "can't write the spend table"
    if not (server.is_replica or server.is_read_only):
        return Check("read-only", Mark.GOOD, f"It is a primary. The role {writes}.")
    what = "a replica" if server.is_replica else "read-only"
    if billing.one_database:
        return Check(
            "read-only",
            Mark.BAD,
            f"It is {what}, and the ledger is to be there: it takes no writes.",
            "Name the primary in DATABASE_URL, or a ledger elsewhere in RECONCILE_LEDGER_URL.",
        )
    if server.is_replica and (server.behind is None or server.behind > REPLICA):
        when = "nobody knows how far it has come" if server.behind is None else f"{length(server.behind)} behind"
        return Check(
            "read-only",
            Mark.LOOK,
            f"It is a replica, {when}. Usage is billed when it arrives there.",
            "See whether it still follows its primary, or name the primary in DATABASE_URL.",
        )
    return Check("read-only", Mark.GOOD, f"It is {what}, and the ledger is elsewhere.")


def version(table: Table) -> Check:
    """Which LiteLLM has made the table, by its columns."""
    since = next((told for column, told in VERSIONS.items() if column in table.columns), None)
    if since is None or "status" not in table.columns:
        return Check(
            "version",
            Mark.LOOK,
            'LiteLLM before 1.69: its table has no "status", so free failures count their tokens.',
            "Upgrade LiteLLM.",
        )
    return Check("version", Mark.GOOD, f"LiteLLM {since} or newer, by the table's columns.")
